/* standalone.c - runs a fuzz target over every file of the folders given as arguments, so that corpora run in ordinary tests, without libFuzzer. A
 * target that can make inputs of its own also runs FUZZ_BODIES of them, 3000 unless said. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Optional: runs so many inputs that the target makes itself, the same ones each time. Returns how many. */
__attribute__((weak)) int64_t fuzz_generated(int64_t count);

/* Runs one file; 1 when it could be read. */
static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *data = size >= 0 ? malloc((size_t)size + 1) : NULL;
    int read = data && fread(data, 1, (size_t)size, file) == (size_t)size;
    fclose(file);
    if (read) {
        /* in a block of exactly its size, so that a sanitizer detects an overrun */
        uint8_t *exact = realloc(data, (size_t)size ? (size_t)size : 1);
        data = exact ? exact : data;
        LLVMFuzzerTestOneInput(data, (size_t)size);
    }
    free(data);
    return read;
}

static int run_folder(const char *folder) {
    DIR *dir = opendir(folder);
    int count = 0;
    if (!dir) {
        perror(folder);
        return -1;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (!run_file(path)) {
            perror(path);
            closedir(dir);
            return -1;
        }
        count++;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv) {
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = run_folder(argv[i]);
        if (count < 0) return 1;
        total += count;
    }
    const char *bodies = getenv("FUZZ_BODIES");
    if (fuzz_generated) total += (int)fuzz_generated(bodies ? strtoll(bodies, NULL, 10) : 3000);
    printf("%d inputs\n", total);
    return total == 0; /* a corpus that is not there is a failure */
}
