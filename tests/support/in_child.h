/* in_child: a piece of a test in a process of its own, for what a process cannot take back. */
#pragma once

/* in_child runs `test` there and returns its answer, which is the exit code. */
int in_child(int (*test)(void));
