/* exposition_families: the families of the metrics page that have series for each listener or
 * server with a name. */
#pragma once

#include "proxy/observe/page.h"

/* exposition_put_listeners writes all families about listeners. */
void exposition_put_listeners(struct page *p);

/* exposition_put_servers writes all families about servers. */
void exposition_put_servers(struct page *p);
