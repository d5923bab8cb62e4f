/* graph.h - private to network.c and graph.c: names of layers, what reads what, an order to compute in. */
#ifndef BP_GRAPH_H
#define BP_GRAPH_H

#include "engine/network/network.h"

/* Node numbers while planning: inputs 0..inputs_count, then layers as defined. */
struct bp_links {
    char (*names)[BP_NAME_MAX];       /* [nodes] */
    int32_t (*inputs)[BP_INPUTS_MAX]; /* [nodes] node numbers */
    int32_t *inputs_count;            /* [nodes] */
    int32_t *order;                   /* [layers] node numbers of the layers, each after what it reads */
    int32_t outputs_count;
    int32_t outputs[BP_OUTPUTS_MAX]; /* node numbers */
};

/* Names and links everything, or sets the error. bp_links_free in any case. */
int bp_links_resolve(const struct bp_graph *graph, struct bp_links *links, struct bp_error *error);
void bp_links_free(struct bp_links *links);

#endif
