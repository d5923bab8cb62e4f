/* test_layers.c - engine/layers/: what plan refuses and in which words, and what only one layer does. (Values and gradients in general:
 * test_golden.c and test_gradcheck.c, for every entry.) */
#include "tests/engine/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Networks that cannot be, on an input of that shape; the error points at the place and contains the words. */
static const struct {
    const char *text;
    struct bp_shape shape;
    const char *pointer, *words;
} wrong[] = {
    {"dense units=3 name=a; add in=a,x; dense units=1", {1, {4}}, "/layers/1/inputs", "input 0 has (3) and input 1 has (4)"},
    {"subtract in=x,x,x", {1, {4}}, "/layers/0/inputs", "subtract takes 2"},
    {"global_average_pool name=g; reshape target_shape=2,2 name=r; average in=x,x,r",
     {2, {3, 4}},
     "/layers/2/inputs",
     "sizes of 1 that are repeated"},
    {"dot in=x,x axes=0",
     {2, {3, 4}},
     "/layers/0/axes",
     "the axis of input 0 is out of range for its shape (3, 4): expected 1 to 2 (0 is the batch)"},
    {"dot in=x,x axes=1,3", {2, {3, 4}}, "/layers/0/axes", "the axis of input 1"},
    {"dot in=x,x axes=1,2,1", {2, {3, 4}}, "/layers/0/axes", "axes has 3 integers"},
    {"dot in=x,x axes=1,2", {2, {3, 4}}, "/layers/0/axes", "must have the same size, but have 3 in (3, 4) and 4 in (3, 4)"},
    {"dot in=x,x axes=1", {4, {2, 3, 4, 5}}, "/layers/0/inputs", "more than 4 axes"},
    {"add in=x; dense units=1", {1, {4}}, "/layers/0/inputs", "at least 2"},
    {"flatten name=f; multiply in=x,f", {2, {2, 3}}, "/layers/1/inputs", "input 0 has (2, 3) and input 1 has (6)"},
    {"flatten name=f; maximum in=x,f", {2, {2, 3}}, "/layers/1/inputs", "the inputs of maximum must have the same shape"},
    {"maximum in=x", {1, {4}}, "/layers/0/inputs", "at least 2"},
    {"flatten name=f; concatenate in=x,f", {2, {2, 3}}, "/layers/1/inputs", "input 0 has (2, 3) and input 1 has (6)"},
    {"concatenate in=x,x axis=0", {2, {2, 3}}, "/layers/0/axis", "0 is the batch"},
    {"concatenate in=x,x axis=3", {2, {2, 3}}, "/layers/0/axis", "expected 1 to 2"},
    {"concatenate in=x,x axis=-3", {2, {2, 3}}, "/layers/0/axis", "expected 1 to 2"},
    {"cropping1d", {1, {4}}, "/layers/0", "cropping1d needs an input (steps, channels), but got (4)"},
    {"cropping1d cropping=2,2",
     {2, {4, 1}},
     "/layers/0/cropping",
     "cropping of 2 and 2 leaves nothing of the 4 cells along that axis of the input (4, 1)"},
    {"cropping1d cropping=2,2,2", {2, {9, 1}}, "/layers/0/cropping", "one for both ends, or two: [before, after]"},
    {"cropping2d cropping=0,4", {3, {8, 8, 1}}, "/layers/0/cropping", "cropping of 4 and 4 leaves nothing of the 8 cells"},
    {"zero_padding2d padding=1,2,3", {3, {8, 8, 1}}, "/layers/0/padding", "or four: [[top, bottom], [left, right]]"},
    {"zero_padding2d", {2, {8, 8}}, "/layers/0", "zero_padding2d needs an input (height, width, channels), but got (8, 8)"},
    {"permute dims=1,3",
     {2, {8, 8}},
     "/layers/0/dims",
     "each of the axes 1 to 2 once (1 is the first after the batch), but axis 3 is not one of them"},
    {"permute dims=2,2", {2, {8, 8}}, "/layers/0/dims", "axis 2 is there twice"},
    {"permute dims=2,1", {3, {8, 8, 1}}, "/layers/0/dims", "dims has 2 axes, but the input (8, 8, 1) has 3"},
    {"repeat_vector n=3", {2, {8, 8}}, "/layers/0", "repeat_vector needs an input (features), but got (8, 8); add a flatten"},
    {"repeat_vector n=16777216", {1, {65536}}, "/layers/0", "more than 2^31 - 1"},
    {"upsampling1d", {1, {8}}, "/layers/0", "upsampling1d needs an input (steps, channels), but got (8)"},
    {"upsampling1d size=2,2", {2, {8, 1}}, "/layers/0/size", "size has 2 integers; upsampling1d takes one, for the steps"},
    {"upsampling2d size=1,2,3", {3, {8, 8, 1}}, "/layers/0/size", "one for both axes, or two"},
    {"conv2d filters=2 kernel_size=3", {2, {28, 28}}, "/layers/0", "needs an input (height, width, channels), but got (28, 28)"},
    {"conv1d filters=2 kernel_size=3", {3, {28, 28, 1}}, "/layers/0", "needs an input (steps, channels), but got (28, 28, 1)"},
    {"conv2d filters=2 kernel_size=3,3,3", {3, {8, 8, 1}}, "/layers/0/kernel_size", "one for both axes, or two"},
    {"conv1d filters=2 kernel_size=3 strides=1,1", {2, {8, 1}}, "/layers/0/strides", "takes one, for the steps"},
    {"conv2d filters=2 kernel_size=3,9", {3, {8, 8, 1}}, "/layers/0/kernel_size", "a kernel_size of 9 does not fit into the input (8, 8, 1)"},
    {"conv1d filters=2 kernel_size=5 dilation_rate=3 padding=2", {2, {8, 1}}, "/layers/0/kernel_size", "with its dilation"},
    {"conv2d filters=4 kernel_size=3 groups=2", {3, {8, 8, 3}}, "/layers/0/groups", "divide the 3 channels of the input and the 4 filters"},
    {"conv2d filters=65536 kernel_size=512", {3, {512, 512, 1}}, "/layers/0/filters", "more than 2^31 - 1"},
    {"conv2d_transpose filters=2 kernel_size=3", {2, {28, 28}}, "/layers/0", "needs an input (height, width, channels), but got (28, 28)"},
    {"conv1d_transpose filters=2 kernel_size=3 strides=2 output_padding=2",
     {2, {8, 1}},
     "/layers/0/output_padding",
     "must be less than the stride, which is 2"},
    {"conv1d_transpose filters=2 kernel_size=3 padding=9", {2, {8, 1}}, "/layers/0/padding", "would have -8 cells along an axis; use less padding"},
    {"conv2d_transpose filters=65536 kernel_size=512", {3, {8, 8, 1}}, "/layers/0/filters", "more than 2^31 - 1"},
    {"depthwise_conv2d kernel_size=9", {3, {8, 8, 3}}, "/layers/0/kernel_size", "a kernel_size of 9 does not fit into the input (8, 8, 3)"},
    {"depthwise_conv2d kernel_size=3 depth_multiplier=65536", {3, {8, 8, 65536}}, "/layers/0/depth_multiplier", "more than 2^31 - 1"},
    {"separable_conv1d filters=2 kernel_size=3", {3, {8, 8, 3}}, "/layers/0", "needs an input (steps, channels)"},
    {"separable_conv1d filters=65536 kernel_size=3 depth_multiplier=65536", {2, {8, 2}}, "/layers/0/depth_multiplier", "more than 2^31 - 1"},
    {"max_pool2d", {2, {28, 28}}, "/layers/0", "needs an input (height, width, channels), but got (28, 28)"},
    {"average_pool1d pool_size=9", {2, {8, 1}}, "/layers/0/pool_size", "a pool_size of 9 does not fit into the input (8, 1)"},
    {"max_pool1d pool_size=3 padding=3", {2, {8, 1}}, "/layers/0/padding", "must be less than pool_size, which is 3"},
    {"global_average_pool", {1, {8}}, "/layers/0", "but got (8)"},
    {"global_max_pool", {1, {8}}, "/layers/0", "but got (8)"},
    {"positional_encoding", {1, {8}}, "/layers/0", "but got (8)"},
    {"group_norm", {2, {8, 4}}, "/layers/0/groups", "32 groups do not divide the 4 channels of the input; use a divisor, or -1"},
    {"group_norm groups=0", {2, {8, 4}}, "/layers/0/groups", "groups is 0"},
    {"spatial_dropout rate=0.5", {1, {8}}, "/layers/0", "spatial_dropout needs an input (steps, channels) or (height, width, channels), but got (8)"},
    {"lstm units=4", {1, {8}}, "/layers/0", "needs an input (steps, features), but got (8); add a reshape layer before it"},
    {"gru units=4", {3, {8, 8, 1}}, "/layers/0", "needs an input (steps, features), but got (8, 8, 1)"},
    {"rnn units=65536", {2, {2, 2}}, "/layers/0/units", "more than 2^31 - 1"},
    {"multi_head_attention num_heads=2", {1, {8}}, "/layers/0", "needs an input (steps, features), but got (8)"},
    {"global_max_pool name=g; multi_head_attention num_heads=2 in=x,g", {2, {8, 4}}, "/layers/1", "but got (4) as value"},
    {"cropping1d name=c; multi_head_attention num_heads=2 in=x,x,c", {2, {8, 4}}, "/layers/1/inputs", "value has (8, 4) and key has (6, 4)"},
    {"multi_head_attention num_heads=2 in=x,x,x,x", {2, {8, 4}}, "/layers/0/inputs", "takes at most 3"},
    {"position_embedding", {1, {8}}, "/layers/0", "position_embedding needs an input (steps, channels), but got (8)"},
    {"multi_head_attention num_heads=3", {2, {8, 4}}, "/layers/0/num_heads", "3 heads do not divide the 4 features"},
    {"multi_head_attention num_heads=1024 key_dim=65536", {2, {8, 64}}, "/layers/0/num_heads", "more than 2^31 - 1"},
    {"random_flip", {2, {28, 28}}, "/layers/0", "random_flip needs an input (height, width, channels), but got (28, 28); add a reshape layer"},
    {"random_rotation factor=0.1", {1, {784}}, "/layers/0", "random_rotation needs an input (height, width, channels), but got (784)"},
    {"random_translation height_factor=0.1 width_factor=0.1", {2, {8, 4}}, "/layers/0", "but got (8, 4)"},
    {"masking; random_flip", {3, {8, 4, 1}}, "/layers/1", "mask"},
    {"embedding input_dim=9 output_dim=2", {4, {1, 2, 1, 2}}, "/layers/0", "adds an axis"},
    {"piecewise_linear_embedding", {2, {5, 4}}, "/layers/0", "numbers side by side, a shape like (20), but got (5, 4)"},
    {"piecewise_linear_embedding bins=1024 output_dim=4096", {1, {1000}}, "/layers/0/output_dim", "more than 2^31 - 1"},
    {"ensemble", {2, {5, 4}}, "/layers/0", "numbers side by side, a shape like (20), but got (5, 4); put a flatten before it"},
    {"masking; ensemble", {2, {5, 4}}, "/layers/1", "numbers side by side"},
    {"ensemble; dense units=2; ensemble", {1, {4}}, "/layers/2", "its input already has 8 members"},
    {"ensemble; flatten", {1, {4}}, "/layers/1", "its input has an axis of 8 members, which flatten would mix"},
    {"ensemble members=5; lstm units=2", {1, {4}}, "/layers/1", "5 members, which lstm would mix"},
    {"ensemble; conv1d filters=2 kernel_size=1", {1, {4}}, "/layers/1", "a global_average_pool before it, which averages the members"},
    {"ensemble members=3; dense units=1 name=d; reshape target_shape=3,1,4 in=x name=r; add in=d,r", {1, {12}}, "/layers/3", "which add would mix"},
    {"ensemble name=a; concatenate in=a,a axis=1", {1, {4}}, "/layers/1", "which concatenate would mix"},
    {"dense units=3; ensemble_dense units=2", {1, {4}}, "/layers/1", "its input has no members; put an ensemble layer before it, or use dense"},
    {"ensemble members=1024; ensemble_dense units=65536", {1, {65536}}, "/layers/1/units", "more than 2^31 - 1"},
    {"masking name=m; global_average_pool; ensemble members=5; dense units=4 name=e; add in=m,e", {2, {5, 4}}, "/layers/4", "which add would mix"},
    {"periodic_embedding", {2, {5, 4}}, "/layers/0", "numbers side by side, a shape like (20), but got (5, 4)"},
    {"periodic_embedding frequencies=1024 output_dim=4096", {1, {1000}}, "/layers/0/output_dim", "more than 2^31 - 1"},
    {"scale axes=2", {1, {4}}, "/layers/0/axes", "axes is 2, but the input has the shape (4); use at most 1"},
    {"embedding input_dim=16777216 output_dim=65536", {1, {2}}, "/layers/0/input_dim", "more than 2^31 - 1"},
};

START_TEST(plan_refuses) {
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct test_graph graph;
        struct bp_error error;
        test_graph(&graph, wrong[i].text, NULL, wrong[i].shape);
        test_plan_fails(&graph, &error);
        ck_assert_str_eq(error.pointer, wrong[i].pointer);
        ck_contains(error.message, wrong[i].words);
    }
}
END_TEST

/* Output shapes, written out. */
static const struct {
    const char *text;
    struct bp_shape in, out;
} shapes[] = {
    {"dense units=1 name=a; global_average_pool in=x name=g; add in=g,a", {3, {5, 2, 3}}, {3, {5, 2, 3}}},
    {"reshape target_shape=4,1,3 name=r; multiply in=x,r", {2, {4, 3}}, {3, {4, 4, 3}}},
    {"subtract in=x,x", {2, {4, 3}}, {2, {4, 3}}},
    {"dot in=x,x axes=1", {1, {4}}, {1, {1}}},
    {"dot in=x,x axes=1", {2, {4, 3}}, {2, {3, 3}}},
    {"dot in=x,x axes=-1", {2, {4, 3}}, {2, {4, 4}}},
    {"reshape target_shape=-1 name=r; dense units=2 name=d; dot in=x,d axes=2,1", {2, {4, 2}}, {1, {4}}},
    {"dot in=x,x axes=2", {3, {2, 3, 4}}, {4, {2, 4, 2, 4}}},
    {"concatenate in=x,x,x", {2, {2, 3}}, {2, {2, 9}}},
    {"concatenate in=x,x axis=1", {2, {2, 3}}, {2, {4, 3}}},
    {"concatenate in=x,x axis=-2", {3, {5, 2, 3}}, {3, {5, 4, 3}}},
    {"conv1d filters=5 kernel_size=3", {2, {8, 2}}, {2, {6, 5}}},
    {"conv1d filters=5 kernel_size=3 strides=2 padding=same", {2, {7, 2}}, {2, {4, 5}}},
    {"conv1d filters=5 kernel_size=3 padding=causal dilation_rate=2", {2, {7, 2}}, {2, {7, 5}}},
    {"conv1d filters=5 kernel_size=3 padding=causal strides=2", {2, {7, 2}}, {2, {4, 5}}},
    {"zero_padding1d padding=2,3", {2, {7, 2}}, {2, {12, 2}}},
    {"cropping1d cropping=2", {2, {7, 2}}, {2, {3, 2}}},
    {"zero_padding2d padding=1,2,3,4", {3, {7, 2, 1}}, {3, {10, 9, 1}}},
    {"cropping2d", {3, {7, 2, 1}}, {3, {7, 2, 1}}},
    {"cropping2d cropping=3,0,0,1", {3, {7, 2, 1}}, {3, {4, 1, 1}}},
    {"permute dims=3,1,2", {3, {7, 2, 1}}, {3, {1, 7, 2}}},
    {"repeat_vector n=5", {1, {7}}, {2, {5, 7}}},
    {"upsampling1d size=3", {2, {7, 2}}, {2, {21, 2}}},
    {"upsampling2d size=3,1", {3, {7, 2, 4}}, {3, {21, 2, 4}}},
    {"conv2d filters=5 kernel_size=3", {3, {28, 20, 1}}, {3, {26, 18, 5}}},
    {"conv2d filters=5 kernel_size=4 padding=same", {3, {28, 20, 1}}, {3, {28, 20, 5}}},
    {"conv2d filters=5 kernel_size=3 padding=2 strides=2,3 dilation_rate=2", {3, {28, 20, 1}}, {3, {14, 7, 5}}},
    {"conv1d_transpose filters=5 kernel_size=3 strides=2", {2, {7, 2}}, {2, {15, 5}}},
    {"conv1d_transpose filters=5 kernel_size=2 strides=3", {2, {7, 2}}, {2, {21, 5}}},
    {"conv2d_transpose filters=5 kernel_size=3 strides=2 padding=same", {3, {7, 8, 2}}, {3, {14, 16, 5}}},
    {"conv2d_transpose filters=5 kernel_size=4 strides=2 padding=1", {3, {7, 8, 2}}, {3, {14, 16, 5}}},
    {"conv2d_transpose filters=5 kernel_size=3 strides=2 padding=same output_padding=0,1", {3, {7, 8, 2}}, {3, {13, 16, 5}}},
    {"depthwise_conv2d kernel_size=3 depth_multiplier=2", {3, {7, 8, 2}}, {3, {5, 6, 4}}},
    {"depthwise_conv1d kernel_size=3 padding=same strides=2", {2, {7, 2}}, {2, {4, 2}}},
    {"separable_conv2d filters=5 kernel_size=3 depth_multiplier=2", {3, {7, 8, 2}}, {3, {5, 6, 5}}},
    {"separable_conv1d filters=5 kernel_size=3 padding=causal", {2, {7, 2}}, {2, {7, 5}}},
    {"max_pool2d", {3, {28, 21, 3}}, {3, {14, 10, 3}}},
    {"max_pool1d pool_size=3 strides=1 padding=1", {2, {7, 3}}, {2, {7, 3}}},
    {"average_pool2d pool_size=3,2 padding=same", {3, {28, 21, 3}}, {3, {10, 11, 3}}},
    {"global_max_pool", {3, {28, 21, 3}}, {1, {3}}},
    {"global_average_pool", {2, {28, 21}}, {1, {21}}},
    {"gaussian_noise stddev=1", {2, {28, 21}}, {2, {28, 21}}},
    {"rnn units=5", {2, {7, 3}}, {1, {5}}},
    {"gru units=5 return_sequences=1", {2, {7, 3}}, {2, {7, 5}}},
    {"lstm units=5 bidirectional=1", {2, {7, 3}}, {1, {10}}},
    {"lstm units=5 bidirectional=1 return_sequences=1", {2, {7, 3}}, {2, {7, 10}}},
    {"multi_head_attention num_heads=3 key_dim=5", {2, {7, 4}}, {2, {7, 4}}},
    {"cropping1d name=c; multi_head_attention num_heads=3 key_dim=5 in=c,x", {2, {7, 4}}, {2, {5, 4}}},
    {"position_embedding", {2, {7, 4}}, {2, {7, 4}}},
    {"embedding input_dim=9 output_dim=2", {2, {3, 4}}, {3, {3, 4, 2}}},
    {"layer_norm", {2, {3, 4}}, {2, {3, 4}}},
    {"piecewise_linear_embedding", {1, {3}}, {1, {24}}},
    {"scale", {2, {3, 4}}, {2, {3, 4}}},
    {"periodic_embedding output_dim=5", {1, {3}}, {1, {15}}},
    {"piecewise_linear_embedding bins=3 output_dim=5", {1, {6}}, {1, {30}}},
    {"ensemble", {1, {4}}, {1, {4}}}, /* of a prediction: without the members */
    {"ensemble members=3; rms_norm name=e; dense units=4 in=x name=d; multiply in=d,e", {1, {4}}, {1, {4}}},
    {"ensemble members=3; dense units=5", {1, {4}}, {1, {5}}},
    {"ensemble members=3; ensemble_dense units=7; global_average_pool", {1, {4}}, {1, {7}}},
    {"group_norm groups=2", {2, {3, 4}}, {2, {3, 4}}},
    {"rms_norm", {2, {3, 4}}, {2, {3, 4}}},
    {"spatial_dropout rate=0.5", {2, {3, 4}}, {2, {3, 4}}},
    {"random_flip", {3, {5, 4, 3}}, {3, {5, 4, 3}}},
    {"random_rotation factor=0.1", {3, {5, 4, 3}}, {3, {5, 4, 3}}},
    {"random_translation height_factor=0.1 width_factor=0", {3, {5, 4, 3}}, {3, {5, 4, 3}}},
};

START_TEST(plan_settles_shapes) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bp_network *net = test_network(shapes[i].text, NULL, shapes[i].in);
        char text[64];
        ck_assert_msg(bp_shape_equal(&net->outputs[0].shape, &shapes[i].out), "%s: %s", shapes[i].text,
                      bp_shape_text(&net->outputs[0].shape, text, sizeof text));
        bp_network_free(net);
    }
}
END_TEST

/* A shape that is not known yet is no error, in any layer that takes one input. */
START_TEST(unknown_inputs_are_allowed) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bp_network *net = test_network(shapes[i].text, NULL, (struct bp_shape){-1, {0}});
        ck_assert(!net->complete);
        bp_network_free(net);
    }
}
END_TEST

START_TEST(an_index_that_cannot_be_is_not_a_number) {
    struct bp_network *net = test_network("embedding input_dim=3 output_dim=2", NULL, (struct bp_shape){1, {6}});
    struct bp_workspace *ws = NULL;
    const bp_real x[6] = {0, 2, 3, -1, 0.5f, NAN}, weights[6] = {10, 11, 20, 21, 30, 31};
    ck_assert_int_eq(net->nodes[1].indices, 3);
    ck_assert_int_eq(bp_workspace_new(net, 1, false, &ws, NULL), 0);
    memcpy(bp_workspace_input(ws, 0), x, sizeof x);
    const bp_real *a = bp_predict(net, weights, ws, 1);
    ck_assert(a[0] == 10 && a[1] == 11 && a[2] == 30 && a[3] == 31);
    for (int i = 4; i < 12; i++) ck_assert(isnan(a[i]));
    bp_workspace_free(ws);
    bp_network_free(net);
}
END_TEST

/* Windows so large that the positions go in several tiles: a kernel of ones over ones counts its cells, and backward, from gradients of 1,
 * each weight meets every position, and each cell of the input as many windows as cover it. */
START_TEST(tiles_of_a_convolution) {
    enum { SIZE = 2100, POSITIONS = 40, STEPS = SIZE + POSITIONS - 1 };
    struct bp_network *net = test_network("conv1d filters=1 kernel_size=2100 use_bias=0", "mse", (struct bp_shape){2, {STEPS, 1}});
    struct bp_workspace *ws = NULL;
    bp_real *weights = bp_reals_new(net->weights_count), *gradient = bp_reals_new(net->weights_count), *targets = bp_reals_new(2 * POSITIONS);
    ck_assert_int_eq(bp_workspace_new(net, 2, true, &ws, NULL), 0);
    for (int i = 0; i < SIZE; i++) weights[i] = 1;
    for (int i = 0; i < 2 * STEPS; i++) bp_workspace_input(ws, 0)[i] = 1;
    for (int i = 0; i < 2 * POSITIONS; i++) targets[i] = SIZE - (bp_real)0.5; /* so that the gradient of (a - y)^2 is 1 */
    struct bp_loss_call call = {.batch = 2, .y = targets, .scale = POSITIONS};
    bp_loss_forward(net, weights, ws, NULL, &call, true);
    for (int i = 0; i < 2 * POSITIONS; i++) ck_assert(call.z[i] == SIZE && call.d_z[i] == 1);
    bp_loss_backward(net, weights, ws, gradient, false, true);
    for (int i = 0; i < SIZE; i++) ck_assert(gradient[i] == 2 * POSITIONS);
    const bp_real *d_x = bp_workspace_input_gradient(ws, 0);
    for (int i = 0; i < 2 * STEPS; i++) {
        const int at = i % STEPS, covered = at < POSITIONS ? at + 1 : at < SIZE ? POSITIONS : STEPS - at;
        ck_assert(d_x[i] == covered);
    }
    bp_workspace_free(ws);
    bp_network_free(net);
    free(weights);
    free(gradient);
    free(targets);
}
END_TEST

/* A NaN cell is not lost under a maximum, at any position. */
START_TEST(maxima_do_not_swallow_nan) {
    static const char *const texts[] = {"max_pool1d pool_size=4", "global_max_pool"};
    for (int i = 0; i < 2; i++)
        for (int at = 0; at < 4; at++) {
            struct bp_network *net = test_network(texts[i], NULL, (struct bp_shape){2, {4, 1}});
            struct bp_workspace *ws = NULL;
            bp_real x[4] = {1, 2, 3, 4}, none[1] = {0};
            ck_assert_int_eq(bp_workspace_new(net, 1, false, &ws, NULL), 0);
            memcpy(bp_workspace_input(ws, 0), x, sizeof x);
            ck_assert(bp_predict(net, none, ws, 1)[0] == 4);
            bp_workspace_input(ws, 0)[at] = NAN;
            ck_assert(isnan(bp_predict(net, none, ws, 1)[0]));
            bp_workspace_free(ws);
            bp_network_free(net);
        }
}
END_TEST

/* Noise only in training: mean and deviation as asked, other numbers for each update, the same wherever a shard begins. */
START_TEST(noise) {
    enum { N = 10000 };
    struct bp_network *net = test_network("gaussian_noise stddev=0.5", "mse", (struct bp_shape){1, {N}});
    struct bp_workspace *ws = NULL;
    bp_real *targets = bp_reals_new(2 * N), *held = bp_reals_new(2 * N), none[1] = {0};
    struct bp_loss_call call = {.batch = 2, .y = targets, .scale = 1};
    struct bp_draw draw = {.seed = 1, .step = 3};
    ck_assert_int_eq(bp_workspace_new(net, 2, true, &ws, NULL), 0);
    for (int i = 0; i < 2 * N; i++) bp_workspace_input(ws, 0)[i] = 7;
    ck_assert(bp_predict(net, none, ws, 2)[5] == 7);
    bp_loss_forward(net, none, ws, &draw, &call, false);
    double sum = 0, squares = 0;
    for (int i = 0; i < 2 * N; i++) {
        held[i] = call.z[i];
        sum += (double)call.z[i] - 7;
        squares += ((double)call.z[i] - 7) * ((double)call.z[i] - 7);
    }
    ck_assert_double_eq_tol(sum / (2 * N), 0, 0.02);
    ck_assert_double_eq_tol(sqrt(squares / (2 * N)), 0.5, 0.02);
    ck_assert(memcmp(held, held + N, N * sizeof *held) != 0);
    draw.first = call.batch = 1;
    bp_loss_forward(net, none, ws, &draw, &call, false);
    ck_assert_mem_eq(call.z, held + N, N * sizeof *held);
    draw = (struct bp_draw){.seed = 1, .step = 4};
    bp_loss_forward(net, none, ws, &draw, &call, false);
    ck_assert(memcmp(call.z, held, N * sizeof *held) != 0);
    bp_workspace_free(ws);
    bp_network_free(net);
    free(targets);
    free(held);
}
END_TEST

/* A channel is there in all cells or in none, by sample; the rest is scaled so that the mean stays. */
START_TEST(channels_are_dropped_whole) {
    enum { CELLS = 5, C = 1000 };
    struct bp_network *net = test_network("spatial_dropout rate=0.25", "mse", (struct bp_shape){2, {CELLS, C}});
    struct bp_workspace *ws = NULL;
    bp_real *targets = bp_reals_new(2 * CELLS * C), none[1] = {0};
    struct bp_loss_call call = {.batch = 2, .y = targets, .scale = 1};
    const struct bp_draw draw = {.seed = 1, .step = 3};
    ck_assert_int_eq(bp_workspace_new(net, 2, true, &ws, NULL), 0);
    for (int i = 0; i < 2 * CELLS * C; i++) bp_workspace_input(ws, 0)[i] = 3;
    ck_assert(bp_predict(net, none, ws, 2)[5] == 3);
    bp_loss_forward(net, none, ws, &draw, &call, false);
    int kept = 0, alike = 0;
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < C; c++) {
            const bp_real *a = call.z + i * CELLS * C + c;
            for (int cell = 0; cell < CELLS; cell++) ck_assert(a[cell * C] == a[0]);
            ck_assert(a[0] == 0 || a[0] == 4);
            kept += a[0] != 0;
            alike += i == 0 && (a[0] == 0) == (a[CELLS * C] == 0);
        }
    ck_assert_double_eq_tol(kept / (2.0 * C), 0.75, 0.03);
    ck_assert_int_lt(alike, C);
    bp_workspace_free(ws);
    bp_network_free(net);
    free(targets);
}
END_TEST

/* In inference a sample gives the same bits alone and among others, however their positions would share tiles. */
START_TEST(a_sample_alone_gives_the_same_bits) {
    static const char *const texts[] = {"conv2d_transpose filters=5 kernel_size=3 strides=2 padding=same activation=relu",
                                        "separable_conv2d filters=5 kernel_size=3 depth_multiplier=3 padding=same activation=gelu",
                                        "depthwise_conv2d kernel_size=3 depth_multiplier=2",
                                        "global_average_pool name=g; multiply in=x,g name=m; dot in=m,x axes=3 normalize=1",
                                        "group_norm groups=2; upsampling2d interpolation=bilinear"};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        enum { SAMPLES = 7, SIZE = 5 * 6 * 4 };
        struct bp_network *net = test_network(texts[k], NULL, (struct bp_shape){3, {5, 6, 4}});
        struct bp_workspace *ws = NULL;
        struct bp_random random = bp_random_open(4, BP_STREAM_USER, 0);
        const size_t out = (size_t)bp_shape_size(&net->outputs[0].shape);
        bp_real *weights = bp_reals_new(net->weights_count + 1), *together = bp_reals_new(SAMPLES * out), x[SAMPLES * SIZE];
        bp_network_initialize(net, 3, weights);
        for (size_t i = 0; i < SAMPLES * SIZE; i++) x[i] = (bp_real)bp_random_normal(&random);
        ck_assert_int_eq(bp_workspace_new(net, SAMPLES, false, &ws, NULL), 0);
        memcpy(bp_workspace_input(ws, 0), x, sizeof x);
        memcpy(together, bp_predict(net, weights, ws, SAMPLES), SAMPLES * out * sizeof *together);
        for (size_t i = 0; i < SAMPLES; i++) {
            memcpy(bp_workspace_input(ws, 0), x + i * SIZE, SIZE * sizeof *x);
            ck_assert_msg(!memcmp(bp_predict(net, weights, ws, 1), together + i * out, out * sizeof *together), "%s", texts[k]);
        }
        bp_workspace_free(ws);
        bp_network_free(net);
        free(weights);
        free(together);
    }
}
END_TEST

START_TEST(forget_gates_begin_open) {
    struct bp_network *net = test_network("lstm units=2", NULL, (struct bp_shape){2, {3, 1}});
    const struct bp_tensor *bias = &net->nodes[1].tensors[2];
    const bp_real expected[8] = {0, 0, 1, 1, 0, 0, 0, 0};
    bp_real *weights = bp_reals_new(net->weights_count);
    bp_network_initialize(net, 1, weights);
    ck_assert_str_eq(bias->name, "bias");
    ck_assert_mem_eq(weights + bias->offset, expected, sizeof expected);
    bp_network_free(net);
    free(weights);
}
END_TEST

Suite *suite_layers(void);
Suite *suite_layers(void) {
    Suite *suite = suite_create("layers");
    TCase *tests = tcase_create("layers");
    tcase_add_test(tests, plan_refuses);
    tcase_add_test(tests, plan_settles_shapes);
    tcase_add_test(tests, unknown_inputs_are_allowed);
    tcase_add_test(tests, tiles_of_a_convolution);
    tcase_add_test(tests, maxima_do_not_swallow_nan);
    tcase_add_test(tests, noise);
    tcase_add_test(tests, channels_are_dropped_whole);
    tcase_add_test(tests, a_sample_alone_gives_the_same_bits);
    tcase_add_test(tests, forget_gates_begin_open);
    tcase_add_test(tests, an_index_that_cannot_be_is_not_a_number);
    suite_add_tcase(suite, tests);
    return suite;
}
