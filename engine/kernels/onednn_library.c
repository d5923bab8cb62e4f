/* onednn_library.c - loads oneDNN: the only dlopen of the engine. Nothing here decides when; nothing here computes. */
#include "engine/kernels/onednn.h"

#ifndef BP_DOUBLE

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

struct bp_dnnl bp_dnnl;

static void *library;
static char name[96];

/* ISO C has no conversion from void * to a function: POSIX asks for this. */
static bool find(void *from, const char *symbol, void *to) {
    void *address = dlsym(from, symbol);
    memcpy(to, &address, sizeof address);
    return address != NULL;
}

int bp_dnnl_load(struct bp_error *error) {
    static const char *const soname = "libdnnl.so.2";
    if (library) return 0;
    void *opened = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (!opened) return bp_error_unsupported(error, "", "%s could not be loaded; the Debian package libdnnl2 has it", soname);
#define LOAD(result, symbol, parameters)                                                                                                             \
    if (!find(opened, "dnnl_" #symbol, &bp_dnnl.symbol)) {                                                                                           \
        bp_error_unsupported(error, "", "%s has no function dnnl_" #symbol, soname);                                                                 \
        goto fail;                                                                                                                                   \
    }
    BP_DNNL_FUNCTIONS(LOAD)
#undef LOAD
    find(opened, "omp_set_num_threads", &bp_dnnl.omp_set_num_threads);
    const struct dnnl_version *version = bp_dnnl.version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d (isa %#x)", version->major, version->minor, version->patch,
             (unsigned)bp_dnnl.get_effective_cpu_isa());
    if (version->major != 2 || version->minor < 6) {
        bp_error_unsupported(error, "", "%s is not supported: expected version 2.6 or a later 2.x", name);
        goto fail;
    }
    if (bp_dnnl.engine_create(&bp_dnnl.engine, DNNL_CPU, 0)) {
        bp_error_unsupported(error, "", "%s gives no engine", name);
        goto fail;
    }
    library = opened;
    return 0;
fail:
    dlclose(opened);
    return -1;
}

bool bp_dnnl_loaded(void) {
    return library != NULL;
}

const char *bp_dnnl_name(void) {
    return name;
}

#endif
