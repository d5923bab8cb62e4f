/* library.h - what the files that load a library at run time share; the engine, which takes nothing from the server, has its own. */
#ifndef SERVER_LIBRARY_H
#define SERVER_LIBRARY_H

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

/* The address of a symbol, into the function pointer at `to`. ISO C has no conversion from void * to a function: POSIX asks for this. False: there is
 * no such symbol. */
static inline bool library_find(void *library, const char *symbol, void *to) {
    void *address = dlsym(library, symbol);
    memcpy(to, &address, sizeof address);
    return address != NULL;
}

#endif
