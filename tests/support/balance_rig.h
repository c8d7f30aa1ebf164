/* balance_rig: servers as a balance sees them, with loads, states and shares that a test sets. For
 * tests of proxy/pool/balance_*.c and their bench. One thread. */
#pragma once

#include "proxy/pool/balance.h"

enum { RIG_SERVERS = 1024 };

struct balance_rig {
	size_t num;
	struct balance_server servers[RIG_SERVERS];
	uint64_t loads[RIG_SERVERS];
	uint64_t total; /* of the loads: kept by balance_rig_load */
	bool down[RIG_SERVERS];
	unsigned shares[RIG_SERVERS];
	unsigned got[RIG_SERVERS]; /* picks */
	size_t num_asked;	   /* how often the policy asked about a server */
	struct balance_view view;
};

/* balance_rig_init makes `num` servers, up and without load; their weights are `weights`, begun
 * anew where it ends. */
void balance_rig_init(struct balance_rig *r, size_t num, const unsigned *weights,
		      size_t num_weights);

/* balance_rig_make makes a balance of them. Aborts where memory is short. */
struct balance *balance_rig_make(struct balance_rig *r, const struct balance_policy *policy,
				 unsigned start);

/* balance_rig_key is the key of request `i`: a hash, as keys are. */
uint64_t balance_rig_key(uint64_t i);

/* balance_rig_load puts one more request on its way to server `i`. */
void balance_rig_load(struct balance_rig *r, size_t i);

/* balance_rig_picks counts in `got` the picks of `num` requests, each with a key of its own. */
void balance_rig_picks(struct balance_rig *r, const struct balance_policy *policy,
		       struct balance *b, unsigned num);
