/* SPDK's and DPDK's logs as one function per line of text: va_list does not cross into Rust. */
#include "internals.h"

#include "spdk/log.h"

FILE *shim_dpdk_log(void);

static shim_log_fn g_log_fn;

static void
log_line(int level, const char *file, const int line, const char *func, const char *format, va_list args)
{
	char text[1024];
	int length;

	length = vsnprintf(text, sizeof(text), format, args);
	if (length < 0) {
		return;
	}
	length = strnlen(text, sizeof(text));
	while (length > 0 && text[length - 1] == '\n') {
		text[--length] = '\0';
	}
	g_log_fn(level, file != NULL ? file : "", line, func != NULL ? func : "", text);
}

void
shim_log_open(shim_log_fn fn)
{
	g_log_fn = fn;
	spdk_log_open(log_line);
}

/* What DPDK prints, a line at a time; it says the level in no way that could be read back. */
static ssize_t
dpdk_write(void *cookie, const char *text, size_t size)
{
	char line[512];
	size_t length = size < sizeof(line) ? size : sizeof(line) - 1;

	memcpy(line, text, length);
	while (length > 0 && line[length - 1] == '\n') {
		length--;
	}
	line[length] = '\0';
	if (length > 0 && g_log_fn != NULL) {
		g_log_fn(SPDK_LOG_INFO, "", 0, "dpdk", line);
	}
	return size;
}

FILE *
shim_dpdk_log(void)
{
	cookie_io_functions_t functions = { .write = dpdk_write };
	FILE *stream = fopencookie(NULL, "w", functions);

	if (stream != NULL) {
		setvbuf(stream, NULL, _IOLBF, 0);
	}
	return stream;
}
