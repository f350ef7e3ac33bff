/* DPDK started on our own terms.
 *
 * spdk_env_init() passes its env_context as one single argument and always adds options that exclude
 * running without hugepages, so DPDK is started here and SPDK's own part of the start-up afterwards.
 */
#include "internals.h"

#include "spdk/env_dpdk.h"

/* Declared here and not included, so that DPDK's headers need not be found. */
int rte_eal_init(int argc, char **argv);
int rte_openlog_stream(FILE *stream);
struct rte_malloc_socket_stats {
	size_t heap_totalsz_bytes;
	size_t heap_freesz_bytes;
	size_t greatest_free_size;
	unsigned free_count;
	unsigned alloc_count;
	size_t heap_allocsz_bytes;
};
int rte_malloc_get_socket_stats(int socket, struct rte_malloc_socket_stats *stats);

/* In log.c. */
FILE *shim_dpdk_log(void);

bool
shim_has_internals(void)
{
#ifdef SHIM_INTERNALS
	return true;
#else
	return false;
#endif
}

const char *
shim_spdk_version(void)
{
	return SPDK_VERSION_STRING;
}

int
shim_env_init(int argc, char **argv, bool legacy_mem, char *said, size_t said_size)
{
	char *text = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&text, &length);
	int original_optind = optind;
	int rc;

	if (stream != NULL) {
		rte_openlog_stream(stream);
	}
	optind = 1;
	rc = rte_eal_init(argc, argv);
	optind = original_optind;
	if (rc >= 0) {
		rc = spdk_env_dpdk_post_init(legacy_mem);
	} else {
		rc = -EINVAL;
	}

	said[0] = '\0';
	if (stream != NULL) {
		/* What DPDK has to say later goes to the log. */
		rte_openlog_stream(shim_dpdk_log());
		fclose(stream);
		snprintf(said, said_size, "%s", text);
		free(text);
	}
	return rc;
}

#define MOST_SOCKETS 64

uint64_t
shim_env_memory_in_use(void)
{
	struct rte_malloc_socket_stats stats;
	uint64_t bytes = 0;
	int socket;

	for (socket = 0; socket < MOST_SOCKETS; socket++) {
		if (rte_malloc_get_socket_stats(socket, &stats) == 0) {
			bytes += stats.heap_allocsz_bytes;
		}
	}
	return bytes;
}
