/* Delays, and lets fail, the opening of the band files and patch folders of a tree: a library for LD_PRELOAD.

   SLOW_OPENS_BELOW    folder of the tree, absolute; names relative to a descriptor count as below it
   SLOW_OPENS_MICROS   delay of each open in microseconds
   SLOW_OPENS_FAILING  N: opening fails with EIO for the names whose FNV-1a hash is divisible by N; absent or 0: for none
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long number(const char *name)
{
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int refused(int directory, const char *path)
{
    const char *below = getenv("SLOW_OPENS_BELOW"), *slash = strrchr(path, '/');
    if (!below || (path[0] == '/' ? strncmp(path, below, strlen(below)) != 0 : directory == AT_FDCWD))
        return 0;
    long micros = number("SLOW_OPENS_MICROS"), failing = number("SLOW_OPENS_FAILING");
    struct timespec delay = {micros / 1000000, micros % 1000000 * 1000};
    nanosleep(&delay, NULL);
    uint32_t hash = 2166136261u;
    for (const char *name = slash ? slash + 1 : path; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    if (failing <= 0 || hash % failing || !strstr(path, ".tif"))
        return 0;
    errno = EIO;
    return 1;
}

#define MODE                                       \
    mode_t mode = 0;                               \
    if (flags & (O_CREAT | O_TMPFILE)) {           \
        va_list rest;                              \
        va_start(rest, flags);                     \
        mode = va_arg(rest, mode_t);               \
        va_end(rest);                              \
    }

#define OPEN(name)                                                       \
    int name(const char *path, int flags, ...)                           \
    {                                                                    \
        int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);   \
        MODE                                                             \
        return refused(AT_FDCWD, path) ? -1 : next(path, flags, mode);   \
    }

#define OPENAT(name)                                                          \
    int name(int directory, const char *path, int flags, ...)                 \
    {                                                                         \
        int (*next)(int, const char *, int, ...) = dlsym(RTLD_NEXT, #name);   \
        MODE                                                                  \
        return refused(directory, path) ? -1 : next(directory, path, flags, mode); \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
