/* wire.c - frames over a stream socket. */
#include "server/jobs/wire.h"
#include "schema/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const struct wire_input wire_inputs[WIRE_INPUTS] = {
    {"dataset", WIRE_DATASET, true}, {"validation", WIRE_VALIDATION, true}, {"checkpoint", WIRE_CHECKPOINT, false}, {"init", WIRE_INIT, false}};

int wire_input_find(const char *name) {
    for (int i = 0; i < WIRE_INPUTS; i++)
        if (name && strcmp(wire_inputs[i].name, name) == 0) return i;
    return -1;
}

static int send_all(int fd, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static void length_bytes(size_t size, unsigned char b[4]) {
    for (int i = 0; i < 4; i++) b[i] = (unsigned char)(size >> 8 * i);
}

int wire_send_file(int fd, const char *text, size_t size, int file) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    unsigned char length[4];
    length_bytes(size, length);
    struct iovec part = {length, sizeof length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    *CMSG_FIRSTHDR(&message) = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof file)};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &file, sizeof file);
    ssize_t n;
    while ((n = sendmsg(fd, &message, MSG_NOSIGNAL)) < 0 && errno == EINTR) continue;
    if (n < 1 || send_all(fd, length + n, sizeof length - (size_t)n) != 0) return -1;
    return send_all(fd, text, size);
}

int wire_send_text(int fd, const char *text, size_t size) {
    unsigned char length[4];
    length_bytes(size, length);
    if (size > WIRE_FRAME_MAX || send_all(fd, length, 4) != 0) return -1;
    return send_all(fd, text, size);
}

int wire_send(int fd, const json_t *json) {
    char *text = schema_json_dump(json, JSON_COMPACT);
    int failed = text ? wire_send_text(fd, text, strlen(text)) : -1;
    free(text);
    return failed;
}

static int receive_all(int fd, void *bytes, size_t size) {
    char *at = bytes;
    while (size > 0) {
        ssize_t n = recv(fd, at, size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static size_t frame_length(const unsigned char *b) {
    return b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16 | (size_t)b[3] << 24;
}

/* The length of a frame, and the descriptor that comes with its first byte. */
static int receive_length(int fd, unsigned char length[4], int *file) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {length, 4};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t n;
    while ((n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) memcpy(file, CMSG_DATA(head), sizeof *file);
    return receive_all(fd, length + n, 4 - (size_t)n);
}

json_t *wire_receive_file(int fd, int *file) {
    unsigned char length[4];
    *file = -1;
    size_t size = receive_length(fd, length, file) == 0 ? frame_length(length) : SIZE_MAX;
    char *text = size <= WIRE_FRAME_MAX ? malloc(size + 1) : NULL;
    json_t *json = text && receive_all(fd, text, size) == 0 ? schema_json_load(text, size, 0, NULL) : NULL;
    free(text);
    if (!json && *file >= 0) close(*file);
    return json;
}

json_t *wire_receive(int fd) {
    int file;
    json_t *json = wire_receive_file(fd, &file);
    if (json && file >= 0) close(file);
    return json;
}

int wire_read(int fd, struct schema_text *buffer) {
    char piece[65536];
    for (;;) {
        ssize_t n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0) schema_text_add(buffer, piece, (size_t)n);
        else if (n < 0 && errno == EINTR) continue;
        else return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && !buffer->failed ? 0 : -1;
        if (buffer->failed) return -1;
    }
}

bool wire_pending(const struct schema_text *buffer) {
    return buffer->size >= 4 && buffer->size - 4 >= frame_length((const unsigned char *)buffer->bytes);
}

json_t *wire_take(struct schema_text *buffer) {
    if (buffer->size < 4) return NULL;
    size_t size = frame_length((const unsigned char *)buffer->bytes);
    if (buffer->size - 4 < size) return NULL;
    json_error_t where;
    json_t *json = schema_json_load(buffer->bytes + 4, size, 0, &where);
    if (!json && json_error_code(&where) == json_error_out_of_memory) return NULL; /* it stays, and is taken the next time */
    buffer->size -= 4 + size;
    memmove(buffer->bytes, buffer->bytes + 4 + size, buffer->size);
    return json ? json : json_object();
}
