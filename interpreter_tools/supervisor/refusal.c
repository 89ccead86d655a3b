/*
 * The error that waits to be told: of a file that could not be written, or of an entry of the store that is missing.
 * The client sends such requests without waiting for an answer, and learns of the first that failed from IT_START or
 * IT_SYNC.
 *
 * There is one, and it is forgotten when it is told. So a refused run leaves no other reason behind for the next run.
 */
#include "supervisor.h"

#include <string.h>

static struct {
	uint32_t why;
	int error; /* 0: none waits */
	size_t length;
	char subject[MAX_PATH];
} refusal;

bool refusal_waits(void)
{
	return refusal.error != 0;
}

void refuse_later(uint32_t why, int error, const char *subject, size_t length)
{
	if (refusal.error)
		return;
	refusal.why = why;
	refusal.error = error;
	refusal.length = length < sizeof refusal.subject ? length : sizeof refusal.subject;
	memcpy(refusal.subject, subject, refusal.length);
}

void refusal_forget(void)
{
	refusal.error = 0;
}

bool refusal_send(uint16_t run)
{
	if (!refusal.error)
		return false;
	send_refused(run, refusal.why, refusal.error, refusal.subject, refusal.length);
	refusal.error = 0;
	return true;
}
