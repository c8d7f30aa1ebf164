#include "tests/support/in_child.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/must.h"

int in_child(int (*test)(void))
{
	pid_t pid;
	int status;

	(void)fflush(NULL);
	if ((pid = fork()) == 0)
		_exit(test());
	MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}
