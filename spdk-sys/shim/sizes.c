/* src/lib.rs has these structures as bytes; here the compiler checks that SPDK agrees. */
#include "internals.h"

_Static_assert(sizeof(struct spdk_nvme_cmd) == 64, "a submission queue entry has 64 bytes");
_Static_assert(sizeof(struct spdk_nvme_cpl) == 16, "a completion queue entry has 16 bytes");
_Static_assert(sizeof(struct spdk_nvme_ctrlr_data) == 4096, "Identify Controller returns 4096 bytes");
_Static_assert(_Alignof(struct spdk_nvme_cmd) <= 8 && _Alignof(struct spdk_nvme_cpl) <= 8,
	       "the Rust side aligns them to 8 bytes");
