/* SPDK's NVMe-oF target as a guest in a test session: the same libraries, options and RPCs as SPDK's
 * nvmf_tgt, but it runs with and without hugepages, and leaves nothing behind when it is killed.
 *
 * This file is how it starts; the others make it answer as an SSD does where SPDK's target does not. What
 * SPDK has no option or handler for is done at calls that the linker sends here (--wrap, see the Makefile).
 * Two variables of the environment set how it starts:
 *
 *   NVMF_TGT_HUGEPAGES=1   memory from hugepages, anonymous: no file in a hugetlbfs, ever
 *   NVMF_TGT_MEM_MB=N      otherwise N MB of ordinary memory, taken as it is touched
 */
#include "spdk/stdinc.h"

#include "spdk/env.h"
#include "spdk/env_dpdk.h"
#include "spdk/event.h"

#include <rte_eal.h>

int __wrap_spdk_env_init(const struct spdk_env_opts *opts);
int __real_spdk_trace_init(const char *shm_name, uint64_t num_entries);
int __wrap_spdk_trace_init(const char *shm_name, uint64_t num_entries);
int __wrap_mlock(const void *address, size_t length);

int
__wrap_spdk_env_init(const struct spdk_env_opts *opts)
{
	const char *hugepages = getenv("NVMF_TGT_HUGEPAGES");
	const char *megabytes = getenv("NVMF_TGT_MEM_MB");
	bool huge = hugepages != NULL && strcmp(hugepages, "1") == 0;
	char cores[64], memory[32];
	char *argv[16];
	int argc = 0;

	/* As in SPDK, [list] is a list of cores, anything else a mask. */
	if (opts->core_mask[0] == '[') {
		snprintf(cores, sizeof(cores), "-l%.*s", (int)strcspn(opts->core_mask + 1, "]"), opts->core_mask + 1);
	} else {
		snprintf(cores, sizeof(cores), "-c%s", opts->core_mask);
	}
	snprintf(memory, sizeof(memory), "%s", megabytes != NULL ? megabytes : "1024");
	argv[argc++] = "nvmf_tgt";
	argv[argc++] = cores;
	argv[argc++] = "--no-pci";
	argv[argc++] = "--no-shconf";
	argv[argc++] = "--no-telemetry";
	argv[argc++] = "--iova-mode=va";
	argv[argc++] = "--base-virtaddr=0x200000000000";
	argv[argc++] = "--log-level=lib.eal:4";
	if (huge) {
		argv[argc++] = "--in-memory";
	} else {
		argv[argc++] = "--no-huge";
		argv[argc++] = "-m";
		argv[argc++] = memory;
	}
	argv[argc] = NULL;

	if (rte_eal_init(argc, argv) < 0) {
		fprintf(stderr, "embedded_nvmf_tgt: DPDK did not start\n");
		return -EINVAL;
	}
	return spdk_env_dpdk_post_init(!huge);
}

/* The trace area is a file in /dev/shm that a killed process could not remove: nobody reads it, so its
 * name goes as soon as it is mapped. */
int
__wrap_spdk_trace_init(const char *shm_name, uint64_t num_entries)
{
	int rc = __real_spdk_trace_init(shm_name, num_entries);

	shm_unlink(shm_name);
	return rc;
}

/* It is also locked in memory, without which SPDK does not start; a plain user may lock little, or nothing. */
int
__wrap_mlock(const void *address, size_t length)
{
	return 0;
}

static void
started(void *arg)
{
}

static int
no_option(int ch, char *arg)
{
	return 0;
}

static void
no_usage(void)
{
}

int
main(int argc, char **argv)
{
	struct spdk_app_opts opts = {};
	int rc;

	spdk_app_opts_init(&opts);
	opts.name = "nvmf";
	rc = spdk_app_parse_args(argc, argv, &opts, "", NULL, no_option, no_usage);
	if (rc != SPDK_APP_PARSE_ARGS_SUCCESS) {
		return rc;
	}
	rc = spdk_app_start(&opts, started, NULL);
	spdk_app_fini();
	return rc;
}
