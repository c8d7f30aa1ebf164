#include "proxy/observe/cause.h"

const char *cause_name(unsigned cause)
{
	static const char *const names[] = {
#define CAUSE(sym, name) [CAUSE_##sym] = (name),
		CAUSES(CAUSE)
#undef CAUSE
	};

	if (cause < CAUSE_TLS)
		return names[cause];
	if (cause < CAUSE_COUNT)
		return tls_reason_name((enum tls_reason)(cause - CAUSE_TLS));
	return "unknown";
}
