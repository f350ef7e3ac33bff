/* SPDK's log as one function per line of text: va_list does not cross into Rust. */
#include "internals.h"

#include "spdk/log.h"

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
