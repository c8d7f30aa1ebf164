#!/usr/bin/python3
"""house.py: keeps the layout honest.

Which room may include which, headers that stand alone and say what they are and what their
functions do, functions that are banned, lines per file, what lies at the top, seeds for every
fuzz target. Prints one line a finding; exits 1 where there is one. Standard library only.
"""

import argparse
import bisect
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOMS = ("conf", "certs", "proxy", "tests")
LINES_LISTED, LINES_REFUSED = 600, 900

TOP_LEVEL = {"conf", "certs", "proxy", "tests", "deploy", "CMakeLists.txt", "CMakePresets.json",
             "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE",
             # not in the repository: .gitignore names them
             "build", "CMakeUserPresets.json"}

# libc as conf/ and certs/ may use it: nothing of it can open a socket or wait on one.
LIBC = set("""
    assert.h ctype.h dirent.h endian.h errno.h fcntl.h float.h fnmatch.h inttypes.h iso646.h limits.h
    locale.h math.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
    stdnoreturn.h string.h strings.h sys/mman.h sys/param.h sys/queue.h sys/random.h sys/stat.h
    sys/types.h sys/uio.h threads.h pthread.h time.h uchar.h unistd.h wchar.h
    """.split())
# Types of addresses and their spelling; no calls on sockets.
ADDRESSES = {"netinet/in.h", "arpa/inet.h"}

# What each room may include: of <...>, and of "...".
OUTSIDE = {
    "conf": lambda h: h in LIBC | ADDRESSES | {"jansson.h"},
    "certs": lambda h: h in LIBC | ADDRESSES or h.startswith("openssl/"),
}
INSIDE = {
    "conf": ("conf/",),
    "certs": ("conf/", "certs/"),
    "proxy": ("conf/", "certs/", "proxy/", "version.h"),
}
# Rooms of proxy/ that know fewer than all others.
PROXY_ROOMS = {"observe": ("observe",)}
COMPAT = "certs/compat.h"  # the one place that knows which TLS library it is

BANNED = {
    "sprintf": "use snprintf", "vsprintf": "use vsnprintf",
    "strcpy": "use memcpy with a checked length", "strcat": "use snprintf",
    "stpcpy": "use memcpy with a checked length",
    "strtok": "use strtok_r or a span", "gets": "use fgets",
    "atoi": "use strtol and check it", "atol": "use strtol and check it",
    "atoll": "use strtoll and check it", "atof": "use strtod and check it",
    "localtime": "use localtime_r", "gmtime": "use gmtime_r",
    "ctime": "use strftime", "asctime": "use strftime",
    "system": "no shell", "popen": "no shell",
    "alloca": "the stack has no bound", "signal": "use sigaction",
    "tmpnam": "use mkstemp", "tempnam": "use mkstemp", "mktemp": "use mkstemp",
    **{f"{p}{s}": "it has no error to check"
       for p in ("", "f", "s", "v", "vf", "vs") for s in ("scanf",)},
}
BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(sorted(BANNED, key=len, reverse=True))
                         + r")\s*\(")


class Text:
    """A source file, with comments and literals blanked out but every offset kept."""

    def __init__(self, path, raw):
        self.path, self.raw = path, raw
        self.comments = []  # (start, end)
        out = list(raw)
        token = re.compile(r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)
        for m in token.finditer(raw):
            is_comment = m.group().startswith("/")
            if is_comment:
                self.comments.append(m.span())
            # A literal keeps its quotes, so that it still is an operand.
            a, b = m.span() if is_comment else (m.start() + 1, m.end() - 1)
            for i in range(a, b):
                if out[i] != "\n":
                    out[i] = " "
        self.code = "".join(out)
        self._newlines = [i for i, c in enumerate(raw) if c == "\n"]

    def line(self, offset):
        return bisect.bisect_left(self._newlines, offset) + 1

    def without_directives(self):
        """The code with preprocessor lines blanked out, too."""
        return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
                      lambda m: re.sub(r"[^\n]", " ", m.group()), self.code, flags=re.M)


class House:
    def __init__(self, root, cc, commands):
        self.root, self.cc, self.commands = root, cc, commands
        self.findings, self.remarks = [], []

    def say(self, where, what):
        self.findings.append(f"{where}: {what}")

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as f:
            return Text(path, f.read())

    def sources(self):
        for room in ROOMS:
            for folder, subfolders, names in os.walk(os.path.join(self.root, room)):
                subfolders.sort()
                for name in sorted(names):
                    if name.endswith((".c", ".h")):
                        yield os.path.relpath(os.path.join(folder, name), self.root)

    def check(self):
        headers = []
        self.check_top()
        for path in self.sources():
            text = self.read(path)
            self.check_includes(text)
            self.check_banned(text)
            self.check_conditions(text)
            self.check_lines(text)
            if path.endswith(".h"):
                headers.append(path)
                self.check_first_comment(text)
                self.check_documented(text)
        self.check_alone(headers)
        self.check_seeds()

    # ---- one rule each

    def check_top(self):
        for name in sorted(os.listdir(self.root)):
            if not name.startswith(".") and name not in TOP_LEVEL:
                self.say(name, "does not belong at the top level")

    def check_includes(self, text):
        room = text.path.split("/")[0]
        for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', text.raw, re.M):
            kind, header = m.groups()
            where = f"{text.path}:{text.line(m.start(1))}"
            if text.code[m.start()] == " " and "#" not in text.code[m.start():m.end()]:
                continue  # in a comment
            if header == "features.h":
                if text.path != COMPAT:
                    self.say(where, f"only {COMPAT} includes features.h")
            elif kind == "<":
                if room in OUTSIDE and not OUTSIDE[room](header):
                    self.say(where, f"{room}/ may not include <{header}>")
                if header.startswith("event2/bufferevent_ssl"):
                    self.say(where, "libevent_openssl brings OpenSSL into the process")
            elif room in INSIDE and not header.startswith(INSIDE[room]):
                self.say(where, f'{room}/ may not include "{header}"')
            elif room == "proxy":
                self.check_proxy_room(text.path, header, where)

    def check_proxy_room(self, path, header, where):
        mine, theirs = path.split("/"), header.split("/")
        if len(mine) < 3 or theirs[0] != "proxy" or mine[1] not in PROXY_ROOMS:
            return
        if len(theirs) < 3 or theirs[1] not in PROXY_ROOMS[mine[1]]:
            self.say(where, f'proxy/{mine[1]}/ may not include "{header}"')

    def check_banned(self, text):
        for m in BANNED_CALL.finditer(text.without_directives()):
            self.say(f"{text.path}:{text.line(m.start())}",
                     f"{m.group(1)} is banned: {BANNED[m.group(1)]}")
        for m in re.finditer(r"^[ \t]*#[ \t]*define\b(?:[^\n]*\\\n)*[^\n]*", text.code, re.M):
            for b in BANNED_CALL.finditer(m.group()):
                self.say(f"{text.path}:{text.line(m.start() + b.start())}",
                         f"{b.group(1)} is banned: {BANNED[b.group(1)]}")

    def check_conditions(self, text):
        """No #if in a function: a platform difference is a file, a library's is in compat.h."""
        if text.path == COMPAT:
            return
        depth, opener, code = 0, "", text.without_directives()
        conditions = {m.start(1) for m in
                      re.finditer(r"^[ \t]*(#)[ \t]*(?:if|ifdef|ifndef|elif|else)\b", text.code, re.M)}
        last = ""
        for i, c in enumerate(code):
            if i in conditions and depth > 0 and opener == ")":
                self.say(f"{text.path}:{text.line(i)}", "#if inside a function")
            if c == "{":
                if depth == 0:
                    opener = last
                depth += 1
            elif c == "}":
                depth = max(0, depth - 1)
            if not c.isspace():
                last = c

    def check_lines(self, text):
        lines = len(text.raw.splitlines())
        if lines > LINES_REFUSED:
            self.say(text.path, f"{lines} lines, {LINES_REFUSED} is the limit: split it by idea")
        elif lines > LINES_LISTED:
            self.remarks.append(f"{text.path}: {lines} lines, over {LINES_LISTED}")

    def check_first_comment(self, text):
        first = text.comments[0] if text.comments else (1, 1)
        words = re.findall(r"\w+", text.raw[first[0]:first[1]])
        if text.raw[:first[0]].strip() or len(words) < 4:
            self.say(f"{text.path}:1", "no first comment that says what it is")

    def check_documented(self, text):
        """A comment directly above (of the function, or of the block without an empty line that
        it is in) or behind, or one further up that names the function."""
        done = None  # where the last documented function ended
        for start, end, name in prototypes(text.without_directives()):
            line_end = text.raw.find("\n", end)
            above = any(b <= start and not text.raw[b:start].strip() for _, b in text.comments)
            behind = any(end <= a < line_end for a, _ in text.comments)
            named = any(b <= start and re.search(rf"\b{name}\b", text.raw[a:b])
                        for a, b in text.comments)
            # Above the first function stands, perhaps, only what the file is.
            if above and text.comments[0][1] <= start and not named:
                above = not (text.raw[text.comments[0][1]:start].strip() == "")
            in_block = done is not None and re.fullmatch(r"\s*?\n[ \t]*", text.raw[done:start]) \
                and text.raw[done:start].count("\n") == 1
            if above or behind or named or in_block:
                done = end
            else:
                self.say(f"{text.path}:{text.line(start)}", f"{name} is not documented")

    def check_alone(self, headers):
        """Compiles a file that includes this header and nothing else."""
        def compile_one(header):
            with tempfile.TemporaryDirectory() as folder:
                alone = os.path.join(folder, "alone.c")
                with open(alone, "w", encoding="utf-8") as f:
                    # A file without a declaration is no C; the typedef is one.
                    f.write(f'#include "{header}"\ntypedef int alone;\n')
                flags = self.flags_for(header)
                return header, subprocess.run(
                    [self.cc, *flags, "-I", self.root, "-fsyntax-only", alone],
                    capture_output=True, text=True, check=False)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for header, result in pool.map(compile_one, headers):
                if result.returncode != 0:
                    errors = [l for l in result.stderr.splitlines() if "error" in l]
                    self.say(header, "does not stand alone: "
                             + (errors or [result.stderr.strip()])[0])

    def flags_for(self, header):
        """The flags of a source beside it; of any in its top folder; of any at all."""
        best, flags = -1, ["-std=c11", "-D_GNU_SOURCE"]
        for entry in self.commands:
            source = os.path.relpath(os.path.join(entry["directory"], entry["file"]), self.root)
            shared = len(os.path.commonpath([source, header])) if not source.startswith("..") else 0
            if shared > best:
                best, flags = shared, compile_flags(entry)
        return flags

    def check_seeds(self):
        folder = os.path.join(self.root, "tests/fuzz")
        targets = [n[:-2] for n in sorted(os.listdir(folder)) if n.endswith(".c")] \
            if os.path.isdir(folder) else []
        for name in targets:
            if name == "replay_main":
                continue
            corpus = os.path.join(folder, "corpus", name)
            seeds = [n for _, _, names in os.walk(corpus) for n in names if not n.startswith(".")]
            if not seeds:
                self.say(f"tests/fuzz/{name}.c", f"no seeds in tests/fuzz/corpus/{name}/")


def compile_flags(entry):
    """The flags of a compile command: without compiler, input, output and dependency file."""
    words = entry.get("arguments") or shlex.split(entry["command"])
    flags, skip = [], False
    for word in words[1:]:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MT", "-MQ"):
            skip = True
        elif word in ("-c", "-MD", "-MMD", "-MP") or word == entry["file"]:
            pass
        else:
            flags.append(word)
    return flags


def top_level(code):
    """Yields (start, end) of each declaration outside braces."""
    depth, start = 0, 0
    for i, c in enumerate(code):
        if c == "{":
            depth += 1
        elif c == "}":
            depth = max(0, depth - 1)
            if depth == 0 and "(" in code[start:i].split("{")[0] \
                    and code[start:i].split("{")[0].rstrip().endswith(")"):
                yield start, i + 1  # a function's body ends without semicolon
                start = i + 1
        elif c == ";" and depth == 0:
            yield start, i + 1
            start = i + 1


def prototypes(code):
    """Yields (start, end, name) of each function that a header declares or defines."""
    attribute = re.compile(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)")
    for a, b in top_level(code):
        text = attribute.sub(lambda m: " " * len(m.group()), code[a:b])
        head = text.split("{")[0].rstrip(" \t\n;")
        words = head.strip()
        start = a + len(code[a:b]) - len(code[a:b].lstrip())
        if re.match(r"(typedef|_Static_assert|static_assert)\b", words):
            continue
        m = re.match(r"([^(=]*?\b)(\w+)\s*\((?!\s*\*)", words, re.S)
        # A macro call such as TAILQ_HEAD(list, item) has no type before it.
        if not m or not m.group(1).strip(" \t\n*"):
            continue
        yield start, b, m.group(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), "../.."))
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--compile-commands", help="flags for headers; else plain C11")
    args = parser.parse_args()
    commands = []
    if args.compile_commands and os.path.exists(args.compile_commands):
        with open(args.compile_commands, encoding="utf-8") as f:
            commands = json.load(f)
    house = House(os.path.realpath(args.root), args.cc, commands)
    house.check()
    for remark in house.remarks:
        print("listed:", remark)
    for finding in house.findings:
        print(finding)
    print(f"house: {len(house.findings)} findings, {len(house.remarks)} large files")
    return 1 if house.findings else 0


if __name__ == "__main__":
    sys.exit(main())
