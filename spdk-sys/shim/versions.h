/* What SPDK's versions differ in, v20.07 to v26.05: all of it is here and in versions.c. */
#ifndef SPDK_SYS_VERSIONS_H
#define SPDK_SYS_VERSIONS_H

#include "spdk/stdinc.h"

#include "spdk/nvme.h"
#include "spdk/version.h"

#include "shim.h"

#define SHIM_SINCE(major, minor) (SPDK_VERSION >= SPDK_VERSION_NUM(major, minor, 0))

/* spdk_nvme_ctrlr_get_opts(), spdk_nvme_ctrlr_get_regs_cc() */
#define SHIM_HAS_CTRLR_GETTERS	SHIM_SINCE(21, 10)

/* The keys of a controller, for as long as it may connect. */
#define SHIM_MOST_KEYS 3
struct shim_keys {
	struct spdk_key *key[SHIM_MOST_KEYS];
};

/* Hands the secrets of `from` to SPDK in the way of its version. 0, or a negative errno: then nothing is left. */
int shim_keys_add(struct spdk_nvme_ctrlr_opts *opts, const struct shim_ctrlr_opts *from);

/* The keys that these options refer to, and those of a controller: to be asked for before it is gone. */
struct shim_keys shim_keys_of(const struct spdk_nvme_ctrlr_opts *opts);
struct shim_keys shim_keys_of_ctrlr(struct spdk_nvme_ctrlr *ctrlr);

/* After opening it: SPDK may have handed out a controller that is open already, with the keys of that time. */
void shim_keys_settle(struct spdk_nvme_ctrlr *ctrlr, const struct spdk_nvme_ctrlr_opts *opts);

/* Gives keys back; those that nobody uses any more are overwritten. */
void shim_keys_remove(struct shim_keys keys);

/* Has SPDK give up opening a controller after this time, as far as its version can be told. */
void shim_bound_opening(struct spdk_nvme_ctrlr_opts *opts, uint32_t milliseconds);

/* CC, where SPDK has a public way to it. 0 or -ENOTSUP. */
int shim_read_cc(struct spdk_nvme_ctrlr *ctrlr, uint32_t *value);

#endif
