/* yaml2json.c - build tool: a YAML file as one line of JSON. Plain scalars become numbers, booleans and null as in
 * YAML's JSON schema; anchors are not supported: the one file it is for has none. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static yaml_parser_t parser;
static const char *path;

static void die(const char *what) {
    fprintf(stderr, "yaml2json: %s line %zu: %s\n", path, parser.mark.line + 1, what);
    exit(1);
}

static json_t *scalar(const yaml_event_t *e) {
    const char *text = (const char *)e->data.scalar.value;
    char *end;
    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return json_string(text);
    if (!*text || strcmp(text, "null") == 0 || strcmp(text, "~") == 0) return json_null();
    if (strcmp(text, "true") == 0) return json_true();
    if (strcmp(text, "false") == 0) return json_false();
    if (strchr("-0123456789", *text)) {
        long long i = strtoll(text, &end, 10);
        if (!*end) return json_integer(i);
        double d = strtod(text, &end);
        if (!*end) return json_real(d);
    }
    return json_string(text);
}

static json_t *value(yaml_event_t *e) {
    json_t *out;
    yaml_event_t next;
    switch (e->type) {
    case YAML_SCALAR_EVENT: out = scalar(e); break;
    case YAML_SEQUENCE_START_EVENT:
        out = json_array();
        while (yaml_parser_parse(&parser, &next) && next.type != YAML_SEQUENCE_END_EVENT) json_array_append_new(out, value(&next));
        break;
    case YAML_MAPPING_START_EVENT:
        out = json_object();
        while (yaml_parser_parse(&parser, &next) && next.type != YAML_MAPPING_END_EVENT) {
            char *key = next.type == YAML_SCALAR_EVENT ? strdup((const char *)next.data.scalar.value) : NULL;
            yaml_event_delete(&next);
            if (!key || !yaml_parser_parse(&parser, &next)) die("a key must be a plain text with a value");
            if (json_object_get(out, key)) die("a key stands twice");
            json_object_set_new(out, key, value(&next));
            free(key);
        }
        break;
    default: die(parser.problem ? parser.problem : "this YAML is not supported"); out = NULL;
    }
    yaml_event_delete(e);
    return out;
}

int main(int argc, char **argv) {
    yaml_event_t e;
    json_t *json = NULL;
    if (argc != 2) return fprintf(stderr, "usage: yaml2json FILE.yaml\n"), 2;
    path = argv[1];
    FILE *in = fopen(path, "rb");
    if (!in) return fprintf(stderr, "yaml2json: cannot read %s\n", path), 1;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_file(&parser, in);
    for (;;) {
        if (!yaml_parser_parse(&parser, &e)) die(parser.problem ? parser.problem : "not YAML");
        if (e.type == YAML_STREAM_END_EVENT) break;
        if (e.type == YAML_STREAM_START_EVENT || e.type == YAML_DOCUMENT_START_EVENT || e.type == YAML_DOCUMENT_END_EVENT) yaml_event_delete(&e);
        else json = value(&e);
    }
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (!text) die("empty");
    puts(text);
    free(text);
    json_decref(json);
    yaml_parser_delete(&parser);
    fclose(in);
    return 0;
}
