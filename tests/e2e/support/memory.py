"""How much memory an instance takes while something goes on."""

import threading


class Watch:
    """Looks at an instance's memory until told to stop, and remembers the most."""

    def __init__(self, instance):
        self._instance = instance
        self._over = threading.Event()
        self.before = self.most = instance.memory()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._over.wait(0.1):
            self.most = max(self.most, self._instance.memory())

    @property
    def grown(self):
        """How much more than in the beginning it was at most."""
        return self.most - self.before

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
