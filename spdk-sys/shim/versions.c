/* What SPDK's versions differ in.
 *
 * Each difference is written once: what a version lacks answers -ENOTSUP here, and shim_feature_since() knows
 * which version has it, so that the caller can say so. docs/spdk-versions.md says which versions were run, which
 * only compiled.
 */
#include "versions.h"

#include "spdk/env.h"
#include "spdk/sock.h"

/* The PSK is a text in the options, or a key of the keyring. Earlier texts were not in the interchange format. */
#define PSK_SINCE	2305
#define KEYRING_SINCE	2405
#define HAS_KEYRING	SHIM_SINCE(24, 5)
#define HAS_PSK_TEXT	(SHIM_SINCE(23, 5) && !HAS_KEYRING)

/* Sockets that connect are said to send without copying; the earlier option is about those that accept. */
#define ZERO_COPY_SINCE	2104
#define HAS_ZERO_COPY	SHIM_SINCE(21, 4)

/* What SPDK calls its implementation of sockets, without and with TLS. */
#define PLAIN_SOCKETS	"posix"
#define TLS_SOCKETS	"ssl"

static bool
has_sockets(const char *name)
{
	struct spdk_sock_impl_opts opts;
	size_t size = sizeof(opts);

	return spdk_sock_impl_get_opts(name, &opts, &size) == 0;
}

uint32_t
shim_feature_since(enum shim_feature feature)
{
	switch (feature) {
	case SHIM_FEATURE_TLS:
		return PSK_SINCE;
	case SHIM_FEATURE_DHCHAP:
		return KEYRING_SINCE;
	case SHIM_FEATURE_ZERO_COPY:
		return ZERO_COPY_SINCE;
	}
	return UINT32_MAX;
}

enum shim_support
shim_feature_support(enum shim_feature feature)
{
	if (SPDK_VERSION / 100 < shim_feature_since(feature)) {
		return SHIM_SUPPORT_TOO_OLD;
	}
	/* SPDK has TLS when it was built with OpenSSL. */
	if ((feature == SHIM_FEATURE_TLS && !has_sockets(TLS_SOCKETS)) ||
	    (feature == SHIM_FEATURE_ZERO_COPY && !has_sockets(PLAIN_SOCKETS))) {
		return SHIM_SUPPORT_NOT_BUILT;
	}
	return SHIM_SUPPORT_THERE;
}

/* ---- Memory ---- */

#ifdef SPDK_ENV_NUMA_ID_ANY
#define ANY_NODE	SPDK_ENV_NUMA_ID_ANY
#else
#define ANY_NODE	SPDK_ENV_SOCKET_ID_ANY
#endif

void *
shim_zmalloc(size_t bytes, size_t alignment)
{
	return spdk_zmalloc(bytes, alignment, NULL, ANY_NODE, SPDK_MALLOC_DMA | SPDK_MALLOC_SHARE);
}

/* ---- Sockets ---- */

int
shim_zero_copy_set(bool on)
{
#if HAS_ZERO_COPY
	struct spdk_sock_impl_opts opts;
	size_t size = sizeof(opts);
	int rc;

	if (spdk_sock_impl_get_opts(PLAIN_SOCKETS, &opts, &size) != 0) {
		return -ENOTSUP;
	}
	/* Others may be making sockets: what is so already is not written. */
	if (opts.enable_zerocopy_send_client == on) {
		return 0;
	}
	opts.enable_zerocopy_send_client = on;
	rc = spdk_sock_impl_set_opts(PLAIN_SOCKETS, &opts, size);
#if SHIM_SINCE(26, 1)
	return rc;
#else
	return rc == 0 ? 0 : -errno;
#endif
#else
	/* It never does. */
	return on ? -ENOTSUP : 0;
#endif
}

/* ---- Secrets ---- */

#if HAS_KEYRING

#include "spdk/keyring_module.h"

/* SPDK asks a module for what a key consists of whenever it connects. This one keeps it in the memory that
 * the keyring allocates with a key. */
#define LONGEST_SECRET	255

struct secret {
	uint32_t users;
	size_t length;
	char text[LONGEST_SECRET + 1];
};

static int
secret_add(struct spdk_key *key, void *text)
{
	struct secret *secret = spdk_key_get_ctx(key);
	size_t length = strlen(text);

	if (length > LONGEST_SECRET) {
		return -ENOBUFS;
	}
	memcpy(secret->text, text, length);
	secret->length = length;
	secret->users = 1;
	return 0;
}

static void
secret_remove(struct spdk_key *key)
{
	explicit_bzero(spdk_key_get_ctx(key), sizeof(struct secret));
}

static int
secret_get(struct spdk_key *key, void *buf, int len)
{
	const struct secret *secret = spdk_key_get_ctx(key);

	if (len < 0 || (size_t)len < secret->length) {
		return -ENOBUFS;
	}
	memcpy(buf, secret->text, secret->length);
	return (int)secret->length;
}

static size_t
secret_size(void)
{
	return sizeof(struct secret);
}

static struct spdk_keyring_module g_module = {
	.name = "nvme-spdk",
	.add_key = secret_add,
	.remove_key = secret_remove,
	.get_key = secret_get,
	.get_ctx_size = secret_size,
};

static pthread_once_t g_keyring_once = PTHREAD_ONCE_INIT;
static int g_keyring_rc;

static void
keyring_start(void)
{
	g_keyring_rc = spdk_keyring_init();
}

/* No text, no key. */
static int
key_add(const char *text, struct spdk_key **key)
{
	static uint64_t g_count;
	char name[40];
	struct spdk_key_opts opts = { .size = sizeof(opts), .name = name, .module = &g_module, .ctx = (void *)text };
	int rc;

	*key = NULL;
	if (text == NULL) {
		return 0;
	}
	pthread_once(&g_keyring_once, keyring_start);
	if (g_keyring_rc != 0) {
		return g_keyring_rc;
	}
	/* No colon: it would separate the name of a keyring. */
	snprintf(name, sizeof(name), "nvme-spdk-%" PRIu64, __atomic_add_fetch(&g_count, 1, __ATOMIC_RELAXED));
	rc = spdk_keyring_add_key(&opts);
	if (rc == 0) {
		*key = spdk_keyring_get_key(name);
		rc = *key != NULL ? 0 : -ENOKEY;
	}
	return rc;
}

static void
key_share(struct spdk_key *key)
{
	struct secret *secret;

	if (key != NULL) {
		secret = spdk_key_get_ctx(key);
		__atomic_add_fetch(&secret->users, 1, __ATOMIC_ACQ_REL);
	}
}

static void
key_remove(struct spdk_key *key)
{
	struct secret *secret;

	if (key == NULL) {
		return;
	}
	secret = spdk_key_get_ctx(key);
	if (__atomic_sub_fetch(&secret->users, 1, __ATOMIC_ACQ_REL) == 0) {
		spdk_keyring_remove_key(spdk_key_get_name(key), &g_module);
		spdk_keyring_put_key(key);
	}
}

int
shim_keys_add(struct spdk_nvme_ctrlr_opts *opts, const struct shim_ctrlr_opts *from)
{
	int rc = key_add(from->tls_psk, &opts->tls_psk);

	if (rc == 0) {
		rc = key_add(from->dhchap_key, &opts->dhchap_key);
	}
	if (rc == 0) {
		rc = key_add(from->dhchap_ctrlr_key, &opts->dhchap_ctrlr_key);
	}
	if (rc != 0) {
		shim_keys_remove(shim_keys_of(opts));
	}
	return rc;
}

struct shim_keys
shim_keys_of(const struct spdk_nvme_ctrlr_opts *opts)
{
	return (struct shim_keys) {
		.key = { opts->tls_psk, opts->dhchap_key, opts->dhchap_ctrlr_key },
	};
}

struct shim_keys
shim_keys_of_ctrlr(struct spdk_nvme_ctrlr *ctrlr)
{
	return shim_keys_of(spdk_nvme_ctrlr_get_opts(ctrlr));
}

void
shim_keys_settle(struct spdk_nvme_ctrlr *ctrlr, const struct spdk_nvme_ctrlr_opts *opts)
{
	struct shim_keys in_use = shim_keys_of_ctrlr(ctrlr), ours = shim_keys_of(opts);
	int i;

	for (i = 0; i < SHIM_MOST_KEYS; i++) {
		if (in_use.key[i] != ours.key[i]) {
			key_share(in_use.key[i]);
			key_remove(ours.key[i]);
		}
	}
}

void
shim_keys_remove(struct shim_keys keys)
{
	int i;

	for (i = 0; i < SHIM_MOST_KEYS; i++) {
		key_remove(keys.key[i]);
	}
}

#else /* no keyring */

int
shim_keys_add(struct spdk_nvme_ctrlr_opts *opts, const struct shim_ctrlr_opts *from)
{
	if (from->dhchap_key != NULL || from->dhchap_ctrlr_key != NULL) {
		return -ENOTSUP;
	}
	if (from->tls_psk == NULL) {
		return 0;
	}
#if HAS_PSK_TEXT
	if (snprintf(opts->psk, sizeof(opts->psk), "%s", from->tls_psk) >= (int)sizeof(opts->psk)) {
		return -ENOBUFS;
	}
	return 0;
#else
	return -ENOTSUP;
#endif
}

struct shim_keys
shim_keys_of(const struct spdk_nvme_ctrlr_opts *opts)
{
	return (struct shim_keys) {};
}

struct shim_keys
shim_keys_of_ctrlr(struct spdk_nvme_ctrlr *ctrlr)
{
	return (struct shim_keys) {};
}

void
shim_keys_settle(struct spdk_nvme_ctrlr *ctrlr, const struct spdk_nvme_ctrlr_opts *opts)
{
}

void
shim_keys_remove(struct shim_keys keys)
{
}

#endif

/* ---- Controllers ---- */

void
shim_bound_opening(struct spdk_nvme_ctrlr_opts *opts, uint32_t milliseconds)
{
	/* SPDK divides by 1000, and takes 0 for no time at all or for no bound. */
	uint32_t seconds = milliseconds / 1000 + 1;

	opts->admin_timeout_ms = seconds * 1000;
#if SHIM_SINCE(21, 10)
	opts->fabrics_connect_timeout_us = seconds * UINT64_C(1000000);
#endif
}

int
shim_read_cc(struct spdk_nvme_ctrlr *ctrlr, uint32_t *value)
{
#if SHIM_HAS_CTRLR_GETTERS
	*value = spdk_nvme_ctrlr_get_regs_cc(ctrlr).raw;
	return 0;
#else
	return -ENOTSUP;
#endif
}
