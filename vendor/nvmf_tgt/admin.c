/* Admin commands that SPDK's target answers with less than scripts for SSDs rely on. */
#include "spdk/stdinc.h"

#include "nvmf_internal.h"
#include "spdk/pci_ids.h"

/* What SPDK's handlers return where they leave a command to the default. */
#define NOT_HANDLED (-1)

static bool
is_nvm(struct spdk_nvmf_ctrlr *ctrlr)
{
	return ctrlr->subsys->subtype == SPDK_NVMF_SUBTYPE_NVME;
}

static int
identify(struct spdk_nvmf_request *req)
{
	struct spdk_nvmf_ctrlr *ctrlr = req->qpair->ctrlr;
	struct spdk_nvme_ctrlr_data *cdata = req->data;
	int rc;

	if (req->cmd->nvme_cmd.cdw10_bits.identify.cns != SPDK_NVME_IDENTIFY_CTRLR ||
	    cdata == NULL || req->length < sizeof(*cdata)) {
		return NOT_HANDLED;
	}
	rc = spdk_nvmf_ctrlr_identify_ctrlr(ctrlr, cdata);
	/* SPDK leaves them 0, which no vendor has; later releases have this one. */
	cdata->vid = SPDK_PCI_VID_INTEL;
	cdata->ssvid = SPDK_PCI_VID_INTEL;
	/* The transport takes more in order to refuse it: statuses.c. */
	cdata->mdts = spdk_u32log2(req->qpair->transport->opts.io_unit_size / 4096);
	if (is_nvm(ctrlr)) {
		/* Executed, but not said. */
		cdata->oncs.compare = 1;
		/* format.c takes it: what memory held is gone in any case. */
		cdata->fna.crypto_erase_supported = 1;
	}
	return rc;
}

/* SPDK's page, and what this program adds to it: Delete I/O Submission Queue and Format NVM. */
static const struct spdk_nvme_cmds_and_effect_log_page g_effects = {
	.admin_cmds_supported = {
		[SPDK_NVME_OPC_DELETE_IO_SQ] = { .csupp = 1 },
		[SPDK_NVME_OPC_GET_LOG_PAGE] = { .csupp = 1 },
		[SPDK_NVME_OPC_IDENTIFY] = { .csupp = 1 },
		[SPDK_NVME_OPC_ABORT] = { .csupp = 1 },
		[SPDK_NVME_OPC_SET_FEATURES] = { .csupp = 1 },
		[SPDK_NVME_OPC_GET_FEATURES] = { .csupp = 1 },
		[SPDK_NVME_OPC_ASYNC_EVENT_REQUEST] = { .csupp = 1 },
		[SPDK_NVME_OPC_KEEP_ALIVE] = { .csupp = 1 },
		/* Nothing else should be under way in the namespaces. */
		[SPDK_NVME_OPC_FORMAT_NVM] = { .csupp = 1, .lbcc = 1, .cse = 2 },
	},
	.io_cmds_supported = {
		[SPDK_NVME_OPC_FLUSH] = { .csupp = 1, .lbcc = 1 },
		[SPDK_NVME_OPC_WRITE] = { .csupp = 1, .lbcc = 1 },
		[SPDK_NVME_OPC_READ] = { .csupp = 1 },
		[SPDK_NVME_OPC_COMPARE] = { .csupp = 1 },
		[SPDK_NVME_OPC_WRITE_ZEROES] = { .csupp = 1, .lbcc = 1 },
		[SPDK_NVME_OPC_DATASET_MANAGEMENT] = { .csupp = 1, .lbcc = 1 },
	},
};

static int
get_log_page(struct spdk_nvmf_request *req)
{
	struct spdk_nvme_cmd *cmd = &req->cmd->nvme_cmd;
	uint64_t offset = (uint64_t)cmd->cdw13 << 32 | cmd->cdw12;
	uint64_t length = (((uint64_t)cmd->cdw11_bits.get_log_page.numdu << 16) +
			   cmd->cdw10_bits.get_log_page.numdl + 1) * 4;

	/* SPDK refuses what is wrong with the command. */
	if (!is_nvm(req->qpair->ctrlr) ||
	    cmd->cdw10_bits.get_log_page.lid != SPDK_NVME_LOG_COMMAND_EFFECTS_LOG ||
	    req->data == NULL || length > req->length || offset % 4 != 0) {
		return NOT_HANDLED;
	}
	/* The data is cleared already. */
	if (offset < sizeof(g_effects)) {
		memcpy(req->data, (const char *)&g_effects + offset, spdk_min(length, sizeof(g_effects) - offset));
	}
	return SPDK_NVMF_REQUEST_EXEC_STATUS_COMPLETE;
}

/* Scripts take opcode 0 for one that every device knows, and look for it in the log above. It is known here:
 * but queues come and go with their connections, so there is none that it could name. */
static int
delete_io_sq(struct spdk_nvmf_request *req)
{
	req->rsp->nvme_cpl.status.sct = SPDK_NVME_SCT_COMMAND_SPECIFIC;
	req->rsp->nvme_cpl.status.sc = SPDK_NVME_SC_INVALID_QUEUE_IDENTIFIER;
	return SPDK_NVMF_REQUEST_EXEC_STATUS_COMPLETE;
}

static void __attribute__((constructor))
register_handlers(void)
{
	spdk_nvmf_set_custom_admin_cmd_hdlr(SPDK_NVME_OPC_IDENTIFY, identify);
	spdk_nvmf_set_custom_admin_cmd_hdlr(SPDK_NVME_OPC_GET_LOG_PAGE, get_log_page);
	spdk_nvmf_set_custom_admin_cmd_hdlr(SPDK_NVME_OPC_DELETE_IO_SQ, delete_io_sq);
}
