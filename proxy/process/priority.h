/* priority: whom the kernel lets run first where processors are short. Wishes: a kernel that knows
 * no such thing is as it was. */
#pragma once

/* priority_prompt is for a worker: it runs soon when something comes, for short pieces. */
void priority_prompt(void);

/* priority_patient is for a keeper, and the threads that it makes from then on: it yields to
 * workers and interrupts none. */
void priority_patient(void);
