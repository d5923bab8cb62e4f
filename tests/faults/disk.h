/* disk.h - a disk that fails. Every call of the store that changes files comes through here: those of SQLite through a VFS that becomes the default
 * (https://sqlite.org/vfs.html), those of our own code because the linker gives open, write, fsync, rename and their kin to disk.c (Makefile).
 *
 * Two kinds of faults: the Nth call fails, once or from then on; or the power is cut, and of what was not synced some is lost, in any order. */
#ifndef TESTS_FAULTS_DISK_H
#define TESTS_FAULTS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_call {
    DISK_OPEN = 1, /* creating or opening for writing */
    DISK_WRITE = 2,
    DISK_SYNC = 4,
    DISK_TRUNCATE = 8,
    DISK_NAME = 16, /* rename, link, unlink, mkdir */
    DISK_ALL = 31
};

/* Before the first connection of the process. */
void disk_install(void);

/* From now on the nth call of these kinds fails with errno `cause`, and with `forever` all after it. nth 0: none fails. Counting starts anew. */
void disk_fail(unsigned kinds, long nth, int cause, bool forever);
/* While it is paused, calls neither fail nor count. */
void disk_pause(bool paused);
/* How many have failed since then. */
long disk_failed(void);

/* From now on the disk has space for so many bytes more: a file that would grow beyond it does not (ENOSPC), one that is cut or unlinked gives its
 * bytes back. -1: without limit. */
void disk_space(int64_t bytes);

/* From now on what happens to the files of this folder is recorded, and `moment` is called before each change and each sync, one at a time, from the
 * thread that makes it. */
void disk_record(const char *folder, void (*moment)(void *context), void *context);
/* Within `moment`: makes the folder `target` from what would be on the disk if the power went now. Data that is not synced is kept or lost in sectors
 * of 512 bytes, in any order; of the names that are not synced the last few are lost, because file systems log them in order. The same seed gives
 * the same choice. */
void disk_cut(const char *target, unsigned seed);
/* The end of the recording. The store is closed by then. */
void disk_stop(void);

#endif
