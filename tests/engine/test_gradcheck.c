/* test_gradcheck.c - backpropagation of every layer, activation and loss against finite differences in double, by walking the
 * registries; and that the check itself finds what is wrong and avoids kinks. */
#include "tests/engine/support.h"

#include "engine/activations/activation.h"
#include "engine/gradcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-6

static void check_targets(const char *text, const char *loss, struct bp_shape shape, bool shares) {
    struct test_graph graph;
    struct bp_gradcheck_report report;
    struct bp_error error = {0};
    test_graph(&graph, text, loss, shape);
    graph.graph.outputs[0].shares = shares;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        ck_assert_msg(bp64_gradcheck(&graph.graph, 5, seed, 0, &report, &error) == 0, "%s, %s: %s", text, loss, error.message);
        ck_assert_int_gt(report.count, 0);
        for (int32_t i = 0; i < report.count; i++) {
            const struct bp_gradcheck_tensor *t = &report.tensors[i];
            ck_assert_msg(t->error <= TOLERANCE, "%s, %s, seed %d: %s is off by %g (backward %.9g, differences %.9g)", text, loss, (int)seed, t->name,
                          t->error, t->analytic, t->numeric);
            ck_assert_msg(t->checked > 0 && t->skipped <= (t->checked + t->skipped) / 10 + 1, "%s, %s: %s: %d checked, %d skipped", text, loss,
                          t->name, (int)t->checked, (int)t->skipped);
        }
        ck_assert(report.error <= TOLERANCE);
        free(report.tensors);
    }
}

static void check_text(const char *text, const char *loss, struct bp_shape shape) {
    check_targets(text, loss, shape, false);
}

START_TEST(every_activation) {
    char text[256];
    for (int32_t i = 0; i < bp_activations.count; i++) {
        const struct bp_entry *entry = bp_activations.entries[i];
        snprintf(text, sizeof text, "dense units=4 activation=%s; dense units=3", entry->name);
        check_text(text, "mse", (struct bp_shape){1, {5}});
        snprintf(text, sizeof text, "dense units=4; activation activation=%s; dense units=3", entry->name);
        check_text(text, "mse", (struct bp_shape){2, {2, 3}});
        for (int32_t p = 0; p < entry->params_count && p < 1; p++) {
            snprintf(text, sizeof text, "dense units=4 activation=%s:%g; dense units=3", entry->name,
                     entry->params[p].type == BP_PARAM_BOOLEAN ? 1 : 0.7);
            check_text(text, "mse", (struct bp_shape){1, {5}});
        }
    }
}
END_TEST

/* A network for each layer of the registry; add new layers here. */
START_TEST(every_layer) {
    static const struct {
        const char *name, *text;
        struct bp_shape shape;
    } networks[] = {
        {"activation", "dense units=3; activation activation=tanh; activation activation=softmax; dense units=2", {1, {4}}},
        {"weighted_average",
         "dense units=3 activation=tanh name=a; dense units=3 in=a name=b; dense units=3 in=a activation=relu name=c; weighted_average in=a,b,c; "
         "dense units=2",
         {1, {4}}},
        {"average_pool1d", "dense units=3 activation=tanh; average_pool1d pool_size=3 strides=2 padding=same; dense units=2", {2, {6, 2}}},
        {"average_pool2d",
         "dense units=3 activation=tanh name=a; average_pool2d padding=1 strides=1 name=p; dense units=3 in=a; average_pool2d padding=1 strides=1 "
         "name=q;"
         "add in=p,q; average_pool2d pool_size=2,3",
         {3, {3, 4, 2}}},
        {"batch_norm", "dense units=4 activation=tanh; batch_norm; dense units=2", {1, {4}}},
        {"batch_norm",
         "dense units=3 name=a; batch_norm in=a scale=0 epsilon=0.1 name=b; batch_norm in=a center=0 name=c; add in=b,c,a",
         {2, {3, 2}}},
        {"batch_norm", "masking; dense units=3; batch_norm; lstm units=3", {2, {4, 2}}},
        {"masking",
         "masking; dense units=3 activation=tanh name=a; conv1d filters=3 kernel_size=3 padding=same activation=tanh name=c; dense units=3 in=a "
         "name=b;"
         "add in=c,a,b; conv1d filters=2 kernel_size=2 padding=same; global_average_pool",
         {2, {5, 2}}},
        {"masking", "masking; dense units=3 activation=tanh; lstm units=3; dense units=2", {2, {4, 2}}},
        {"masking", "masking; gru units=2 return_sequences=1 bidirectional=1; layer_norm; global_average_pool", {2, {4, 2}}},
        {"masking", "masking; rnn units=3 return_sequences=1 bidirectional=1; rnn units=2 bidirectional=1", {2, {5, 2}}},
        {"masking", "masking; dense units=4; multi_head_attention num_heads=2; dense units=3; global_max_pool", {2, {4, 2}}},
        {"masking", "masking; dense units=3 activation=tanh; max_pool1d pool_size=2 padding=same; lstm units=2", {2, {5, 2}}},
        {"masking", "masking; dense units=3 activation=tanh; average_pool1d pool_size=3 strides=1 padding=1; dense units=2", {2, {5, 2}}},
        {"masking", "masking name=m; dense units=2 activation=tanh name=d; add in=m,d; dense units=2", {2, {4, 2}}},
        {"masking", "masking mask_value=0; multi_head_attention num_heads=1 use_causal_mask=1; dense units=2", {2, {4, 2}}},
        {"embedding", "embedding input_dim=4 output_dim=3 mask_zero=1; lstm units=3; dense units=2", {1, {6}}},
        {"piecewise_linear_embedding", "piecewise_linear_embedding bins=5 output_dim=3; dense units=3 activation=tanh; dense units=2", {1, {4}}},
        {"piecewise_linear_embedding",
         "piecewise_linear_embedding bins=3 output_dim=2 use_bias=0 activation=gelu name=a; dense units=3 in=a activation=tanh name=b; "
         "dense "
         "units=7 in=a name=c; concatenate in=b,c,a; piecewise_linear_embedding bins=1 output_dim=2; dense units=1",
         {1, {5}}},
        {"ensemble", "ensemble members=3; dense units=4 activation=tanh; global_average_pool; dense units=2", {1, {4}}},
        {"ensemble",
         "dense units=3 activation=tanh name=a; ensemble members=2 group_size=2 name=b; dense units=3 in=a; ensemble members=2 name=c; add in=b,c",
         {1, {4}}},
        {"ensemble_dense", "ensemble members=3; dense units=4 activation=tanh; ensemble_dense units=2", {1, {4}}},
        {"ensemble_dense",
         "ensemble members=2 factors=signs name=a; ensemble_dense units=4 in=a activation=gelu use_bias=0 name=b; ensemble_dense units=4 in=a "
         "activation=relu name=c; multiply in=b,c; ensemble_dense units=1 activation=prelu",
         {1, {3}}},
        {"scale",
         "scale; dense units=3 activation=tanh name=a; scale in=a name=b; scale in=a axes=2 name=c; add in=a,b,c; dense units=2",
         {2, {3, 4}}},
        {"scale", "ensemble members=2; scale axes=2; dense units=3 activation=tanh; scale axes=2; ensemble_dense units=2", {1, {3}}},
        {"periodic_embedding",
         "scale factors_initializer=constant:0.2; periodic_embedding frequencies=3 output_dim=2 sigma=0.5 activation=tanh; dense units=2",
         {1, {4}}},
        {"periodic_embedding",
         "dense units=3 activation=tanh; scale factors_initializer=constant:0.2 name=a; periodic_embedding frequencies=1 output_dim=2 use_bias=0 "
         "activation=gelu name=b; periodic_embedding "
         "in=a "
         "frequencies=2 output_dim=2 activation=linear name=c; add in=b,c; dense units=2",
         {1, {2}}},
        {"dense",
         "dense units=4 parametrization=ntk activation=gelu; dense units=3 parametrization=ntk activation=leaky_relu; dense units=2 "
         "parametrization=ntk use_bias=0",
         {2, {3, 5}}},
        {"ensemble_dense",
         "ensemble members=2; ensemble_dense units=4 parametrization=ntk activation=tanh; ensemble_dense units=2 parametrization=ntk activation=relu",
         {1, {3}}},
        {"gaussian_noise", "gaussian_noise stddev=0.5; dense units=4 activation=tanh; gaussian_noise stddev=2; dense units=2", {1, {4}}},
        {"global_average_pool",
         "dense units=3 activation=tanh name=a; global_average_pool name=p; dense units=3 in=a; global_average_pool name=q; add in=p,q",
         {2, {4, 2}}},
        {"global_max_pool",
         "dense units=3 activation=tanh name=a; global_max_pool name=p; dense units=3 in=a; global_max_pool name=q; add in=p,q",
         {3, {2, 3, 2}}},
        {"max_pool1d", "dense units=5; max_pool1d pool_size=3 strides=2 padding=same; dense units=2", {2, {6, 2}}},
        {"max_pool2d",
         "dense units=3 activation=tanh name=a; max_pool2d padding=1 strides=1 name=p; dense units=3 in=a; max_pool2d padding=1 strides=1 name=q;"
         "add in=p,q; max_pool2d pool_size=2,3",
         {3, {3, 4, 2}}},
        {"positional_encoding", "dense units=5; positional_encoding; dense units=4 activation=tanh; dense units=2", {2, {4, 3}}},
        {"add", "dense units=4 activation=tanh name=a; dense units=4 name=b; add in=a,b,a; dense units=2", {1, {3}}},
        {"add", "dense units=4 name=a; global_average_pool name=g; dense units=1 in=a name=b; add in=g,a,b,x; dense units=2", {3, {2, 3, 4}}},
        {"add", "dense units=1 name=a; reshape target_shape=1,3,1 in=a name=b; add in=b,x; dense units=2", {2, {3, 4}}},
        {"average", "dense units=4 activation=tanh name=a; dense units=4 name=b; average in=a,b,a; dense units=2", {1, {3}}},
        {"average", "dense units=1 name=a; global_average_pool in=x name=g; average in=a,x,g; dense units=2", {2, {2, 3}}},
        {"subtract", "dense units=4 activation=tanh name=a; dense units=4 name=b; subtract in=a,b; dense units=2", {1, {3}}},
        {"subtract", "global_average_pool name=g; subtract in=g,x name=s; subtract in=x,g name=t; add in=s,t,x; dense units=2", {2, {2, 3}}},
        {"dot", "dense units=4 activation=tanh name=a; dense units=4 in=x name=b; dot axes=1 in=a,b; dense units=2", {1, {3}}},
        {"dot",
         "dense units=4 activation=tanh name=a; dense units=4 in=x name=b; dot axes=2 in=a,b name=c; dot axes=2,1 normalize=1 in=c,x",
         {2, {2, 3}}},
        {"dot",
         "dense units=4 name=a; dot axes=1 in=a,x name=b; dot axes=-1 in=b,b normalize=1 name=c; dot axes=-1,1 in=a,c; dense units=1",
         {2, {3, 2}}},
        {"dot",
         "global_average_pool name=g; dot axes=1 in=x,w name=d; dense units=1 in=x name=v; reshape target_shape=2,3 in=v name=w;"
         "reshape target_shape=-1 in=d; dense units=2 name=e; dot axes=3,1 normalize=1 in=x,g name=h; reshape target_shape=-1; concatenate "
         "in=e,reshape_2",
         {3, {2, 3, 2}}},
        {"dot", "dense units=3 name=a; dot axes=2,2 in=a,x normalize=1; global_average_pool", {3, {2, 3, 1}}},
        {"concatenate", "dense units=3 activation=tanh name=a; dense units=2 name=b; concatenate in=b,a,x; dense units=2", {2, {3, 4}}},
        {"concatenate",
         "dense units=4 activation=tanh name=a; concatenate in=x,a,a axis=2; dense units=4 name=b; concatenate in=b,b,b axis=-3; dense units=1",
         {3, {2, 3, 4}}},
        {"conv1d",
         "conv1d filters=3 kernel_size=3 activation=tanh; conv1d filters=4 kernel_size=2 strides=2 padding=same; flatten; dense units=2",
         {2, {7, 2}}},
        {"conv1d",
         "dense units=4; conv1d filters=4 kernel_size=3 groups=4 dilation_rate=2 padding=2; conv1d filters=6 kernel_size=1 groups=2 activation=gelu",
         {2, {5, 4}}},
        {"conv2d",
         "conv2d filters=3 kernel_size=3 activation=tanh; conv2d filters=2 kernel_size=2,1 strides=2,1 padding=same; flatten; dense units=2",
         {3, {5, 6, 2}}},
        {"conv2d",
         "conv2d filters=4 kernel_size=3 groups=2 padding=1 activation=silu; conv2d filters=8 kernel_size=3 groups=4 strides=2 padding=same;"
         "conv2d filters=8 kernel_size=2 groups=8 padding=1,0 use_bias=0; conv2d filters=1 kernel_size=1",
         {3, {4, 5, 2}}},
        {"conv2d",
         "dense units=2 activation=tanh name=a; conv2d filters=2 kernel_size=3 padding=same name=c; add in=a,c,a; conv2d filters=2 kernel_size=1 "
         "name=d;"
         "add in=d,a; conv2d filters=1 kernel_size=2 dilation_rate=2,1",
         {3, {4, 3, 1}}},
        {"conv2d", /* a window of one cell, alone in its group */
         "dense units=4 activation=tanh name=a; conv2d filters=4 kernel_size=1 groups=4 in=a name=b; conv2d filters=4 kernel_size=1 groups=4 in=b "
         "name=c;"
         "add in=a,c; dense units=2",
         {3, {3, 2, 2}}},
        {"conv1d",
         "conv1d filters=3 kernel_size=3 padding=causal activation=tanh; conv1d filters=2 kernel_size=2 padding=causal strides=2 dilation_rate=2",
         {2, {5, 2}}},
        {"conv1d_transpose",
         "conv1d_transpose filters=3 kernel_size=3 strides=2 activation=tanh; conv1d_transpose filters=2 kernel_size=4 strides=2 padding=same; dense "
         "units=1",
         {2, {3, 2}}},
        {"conv1d_transpose",
         "dense units=3 name=a; conv1d_transpose filters=3 kernel_size=3 padding=1 activation=gelu in=a name=b; add in=a,b;"
         "conv1d_transpose filters=2 kernel_size=2 strides=3; conv1d_transpose filters=1 kernel_size=2 dilation_rate=2 strides=2 padding=1 "
         "output_padding=1 "
         "use_bias=0",
         {2, {3, 2}}},
        {"conv2d_transpose",
         "conv2d_transpose filters=3 kernel_size=3 strides=2 padding=same activation=silu; conv2d_transpose filters=2 kernel_size=2,1 strides=1,2;"
         "conv2d filters=1 kernel_size=2 strides=2",
         {3, {2, 3, 2}}},
        {"conv2d_transpose",
         "dense units=2 name=a; conv2d_transpose filters=2 kernel_size=3 padding=same in=a name=b; add in=a,b;"
         "conv2d_transpose filters=2 kernel_size=3 strides=2 padding=1 output_padding=1,0 dilation_rate=1,2",
         {3, {3, 2, 1}}},
        {"depthwise_conv1d",
         "dense units=3 name=a; depthwise_conv1d kernel_size=3 padding=causal in=a name=b; add in=a,b; depthwise_conv1d kernel_size=2 "
         "depth_multiplier=2 "
         "activation=gelu",
         {2, {4, 2}}},
        {"depthwise_conv2d",
         "dense units=2 name=a; depthwise_conv2d kernel_size=3 padding=same in=a name=b; add in=a,b; depthwise_conv2d kernel_size=2 strides=2 "
         "depth_multiplier=3 activation=tanh use_bias=0; dense units=1",
         {3, {4, 5, 1}}},
        {"separable_conv1d",
         "dense units=3 name=a; separable_conv1d filters=3 kernel_size=3 padding=causal activation=gelu in=a name=b; add in=a,b;"
         "separable_conv1d filters=2 kernel_size=2 strides=2 depth_multiplier=2 use_bias=0",
         {2, {5, 2}}},
        {"separable_conv2d",
         "dense units=2 name=a; separable_conv2d filters=2 kernel_size=3 padding=same activation=tanh in=a name=b; add in=a,b;"
         "separable_conv2d filters=3 kernel_size=2 depth_multiplier=2 dilation_rate=2; dense units=1",
         {3, {4, 4, 1}}},
        {"cropping1d", "dense units=3 name=a; cropping1d in=a name=b; cropping1d cropping=0,2 in=a name=c; add in=b,c; dense units=2", {2, {5, 2}}},
        {"cropping2d",
         "dense units=3 name=a; cropping2d cropping=1 in=a name=b; cropping2d cropping=0,2,1,1 in=a name=c; cropping2d cropping=1,1 in=x name=d;"
         "dense units=3 in=d name=e; add in=b,c,e; dense units=2",
         {3, {4, 5, 2}}},
        {"dense", "dense units=7 activation=gelu; dense units=6 activation=silu use_bias=0; dense units=1", {1, {4}}},
        {"dense", "dense units=4 activation=tanh; dense units=3", {3, {2, 2, 3}}},
        {"dropout", "dense units=9 activation=tanh; dropout rate=0.4; dense units=3", {1, {4}}},
        {"embedding", "embedding input_dim=6 output_dim=3; dense units=4 activation=tanh; dense units=2", {1, {5}}},
        {"embedding",
         "embedding input_dim=2 output_dim=4 name=e; dense units=4 activation=tanh name=d; add in=e,d; flatten; dense units=2",
         {1, {3}}},
        {"flatten", "dense units=3 activation=tanh; flatten; dense units=2", {2, {3, 2}}},
        {"group_norm", "dense units=4 activation=tanh; group_norm groups=2; dense units=2", {3, {2, 2, 3}}},
        {"group_norm",
         "dense units=3 name=a; group_norm groups=-1 scale=0 epsilon=0.1 in=a name=b; group_norm groups=1 center=0 in=a name=c; add in=b,c,a",
         {2, {3, 2}}},
        {"layer_norm", "dense units=5 activation=tanh; layer_norm; dense units=2", {2, {3, 4}}},
        {"layer_norm", "layer_norm center=0 name=a; layer_norm in=x scale=0 epsilon=0.1 name=b; add in=a,b; dense units=2", {1, {7}}},
        {"multi_head_attention", "multi_head_attention num_heads=2; dense units=2", {2, {5, 4}}},
        {"multi_head_attention",
         "dense units=3 name=a; multi_head_attention num_heads=2 key_dim=2 use_causal_mask=1 use_bias=0 name=m; add in=m,a name=s;"
         "multi_head_attention num_heads=1 in=a name=n; add in=s,n,a; layer_norm epsilon=0.1; global_average_pool",
         {2, {4, 2}}},
        {"multi_head_attention", "dense units=4 name=a; multi_head_attention num_heads=4", {2, {1, 3}}},
        {"multi_head_attention",
         "dense units=4 name=a; cropping1d cropping=1,0 in=x name=c; dense units=3 in=c name=b; multi_head_attention num_heads=2 dropout=0.3 in=a,b "
         "name=m;"
         "add in=m,a name=s; multi_head_attention num_heads=1 key_dim=3 use_bias=0 in=b,s name=n; global_average_pool in=n name=p; "
         "multi_head_attention "
         "num_heads=2 "
         "use_causal_mask=1 dropout=0.5 in=s,s,a name=t; dense units=4 in=p name=r; add in=t,r",
         {2, {4, 2}}},
        {"multi_head_attention",
         "dense units=3 name=x2; masking in=x name=m; dense units=4 name=a; cropping1d cropping=1,0 in=x2 name=c; dense units=3 in=c name=b; dense "
         "units=2 in=b name=e;"
         "multi_head_attention num_heads=2 in=b,a key_dim=2 name=n; multi_head_attention num_heads=1 in=b,b,e key_dim=2 name=o;"
         "multi_head_attention num_heads=2 in=a,n,o; global_max_pool",
         {2, {5, 3}}},
        {"position_embedding",
         "dense units=5; position_embedding name=p; dense units=4 activation=tanh; position_embedding; dense units=2",
         {2, {4, 3}}},
        {"multiply", "dense units=4 activation=tanh name=a; dense units=4 name=b; multiply in=a,b; dense units=2", {1, {3}}},
        {"multiply", "dense units=3 activation=tanh name=a; multiply in=a,x,a,x; dense units=2", {2, {2, 3}}},
        {"multiply",
         "dense units=2 name=a; global_average_pool in=a; dense units=2 activation=sigmoid name=g; dense units=1 in=a name=c; multiply in=g,a,c,g",
         {3, {2, 3, 2}}},
        {"maximum", "dense units=4 activation=tanh name=a; dense units=4 name=b; maximum in=a,b; dense units=2", {1, {3}}},
        {"maximum", "dense units=3 activation=tanh name=a; maximum in=a,x,a; dense units=2", {2, {2, 3}}},
        {"maximum", "dense units=1 name=a; global_average_pool in=x name=g; maximum in=a,x,g,a; dense units=2", {2, {2, 3}}},
        {"minimum", "dense units=4 activation=tanh name=a; dense units=4 name=b; minimum in=a,b; dense units=2", {1, {3}}},
        {"minimum", "dense units=1 name=a; global_average_pool in=x name=g; minimum in=g,a,x; dense units=2", {3, {2, 2, 3}}},
        {"gru", "gru units=3; dense units=2", {2, {4, 2}}},
        {"gru",
         "dense units=3 name=a; gru units=2 return_sequences=1 bidirectional=1 in=a; dense units=3 name=b; add in=a,b; gru units=2 bidirectional=1",
         {2, {3, 2}}},
        {"gru",
         "dense units=4 name=a; gru units=4 return_sequences=1 in=a name=l; gru units=4 return_sequences=1 in=a name=m; add in=l,m,a; gru units=3",
         {2, {1, 2}}},
        {"lstm", "lstm units=3; dense units=2", {2, {4, 2}}},
        {"lstm",
         "dense units=3 name=a; lstm units=2 return_sequences=1 bidirectional=1 in=a; dense units=3 name=b; add in=a,b; lstm units=2 bidirectional=1",
         {2, {3, 2}}},
        {"lstm",
         "dense units=4 name=a; lstm units=4 return_sequences=1 in=a name=l; lstm units=4 return_sequences=1 in=a name=m; add in=l,m,a; lstm units=3",
         {2, {1, 2}}},
        {"rms_norm", "dense units=5 activation=tanh; rms_norm; dense units=2", {2, {3, 4}}},
        {"rms_norm", "dense units=4 name=a; rms_norm epsilon=0.1 in=a name=b; add in=a,b; dense units=2", {1, {3}}},
        {"rnn", "rnn units=3; dense units=2", {2, {4, 2}}},
        {"rnn", "rnn units=3 dropout=0.4 recurrent_dropout=0.3 return_sequences=1 bidirectional=1; rnn units=3 recurrent_dropout=0.5", {2, {4, 3}}},
        {"gru",
         "dense units=4 name=a; gru units=4 dropout=0.4 recurrent_dropout=0.3 return_sequences=1 in=a name=b; add in=a,b; gru units=2 dropout=0.5 "
         "bidirectional=1",
         {2, {4, 3}}},
        {"lstm",
         "dense units=4 name=a; lstm units=2 dropout=0.4 recurrent_dropout=0.3 return_sequences=1 bidirectional=1 in=a name=b; add in=a,b;"
         "lstm units=3 recurrent_dropout=0.5",
         {2, {4, 3}}},
        {"masking", "masking; dense units=3; lstm units=3 dropout=0.3 recurrent_dropout=0.3; dense units=2", {2, {4, 2}}},
        {"spatial_dropout", "dense units=9 activation=tanh name=a; spatial_dropout rate=0.4 in=a name=b; add in=a,b; dense units=2", {2, {3, 4}}},
        {"rnn",
         "dense units=3 name=a; rnn units=2 return_sequences=1 bidirectional=1 in=a; dense units=3 name=b; add in=a,b; rnn units=2 bidirectional=1",
         {2, {3, 2}}},
        {"rnn",
         "dense units=4 name=a; rnn units=4 return_sequences=1 in=a name=l; rnn units=4 return_sequences=1 in=a name=m; add in=l,m,a; rnn units=3",
         {2, {1, 2}}},
        {"random_flip", "dense units=2 activation=tanh name=a; random_flip mode=both name=f; add in=f,a; dense units=2", {3, {3, 4, 2}}},
        {"random_rotation",
         "dense units=2 activation=tanh name=a; random_rotation factor=0.5 name=r; random_rotation factor=0.1 fill=constant fill_value=3 in=a name=s;"
         "add in=r,s,a; random_rotation factor=1 fill=wrap; random_rotation factor=0.3 fill=nearest",
         {3, {3, 4, 2}}},
        {"random_translation",
         "dense units=2 activation=tanh name=a; random_translation height_factor=1 width_factor=0.4 name=r;"
         "random_translation height_factor=0.5 width_factor=0.5 interpolation=nearest fill=wrap in=a name=s; add in=r,s,a;"
         "random_translation height_factor=0.2 width_factor=0 fill=constant; random_translation height_factor=0.2 width_factor=1 fill=nearest",
         {3, {3, 4, 2}}},
        {"permute",
         "dense units=3 activation=tanh name=a; permute dims=2,1 in=a name=b; permute dims=2,1 in=b name=c; dense units=3 in=c name=d;"
         "add in=a,d; permute dims=2,1; dense units=2",
         {2, {4, 2}}},
        {"permute", "permute dims=3,1,2 name=p; dense units=3 in=p; permute dims=2,3,1; dense units=2", {3, {2, 4, 3}}},
        {"permute", "permute dims=4,2,1,3; dense units=2; permute dims=1,2,4,3", {4, {2, 3, 2, 2}}},
        {"repeat_vector",
         "dense units=3 name=a; repeat_vector n=4 in=a name=b; dense units=2 in=a; repeat_vector n=4 name=c; concatenate in=b,c; gru units=2",
         {1, {3}}},
        {"upsampling1d", "dense units=3 name=a; upsampling1d in=a name=b; upsampling1d size=3 in=b; dense units=1", {2, {3, 2}}},
        {"upsampling2d",
         "dense units=3 name=a; upsampling2d in=a name=b; upsampling2d interpolation=bilinear in=a name=c; add in=b,c;"
         "upsampling2d size=1,3 interpolation=bilinear; conv2d filters=1 kernel_size=2 strides=2",
         {3, {2, 3, 1}}},
        {"zero_padding1d", "dense units=3 name=a; zero_padding1d in=a; zero_padding1d padding=2,0; conv1d filters=2 kernel_size=3", {2, {3, 2}}},
        {"zero_padding2d",
         "dense units=3 name=a; zero_padding2d in=a name=b; zero_padding2d padding=0,2,1,1 in=a name=c; zero_padding2d padding=1,1 in=x name=d;"
         "dense units=3 in=d name=e; add in=b,c,e; dense units=2",
         {3, {2, 3, 2}}},
        {"reshape", "dense units=6 activation=tanh; reshape target_shape=2,-1; dense units=2; reshape target_shape=4", {1, {3}}},
    };
    for (int32_t i = 0; i < bp_layers.count; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof networks / sizeof *networks; k++)
            if (!strcmp(networks[k].name, bp_layers.entries[i]->name)) {
                check_text(networks[k].text, "mse", networks[k].shape);
                found = true;
            }
        ck_assert_msg(found, "the layer %s has no gradient check", bp_layers.entries[i]->name);
    }
}
END_TEST

/* Classes and the shares of them. */
START_TEST(losses_of_shares) {
    static const char *const losses[] = {"binary_cross_entropy", "cross_entropy", "cross_entropy label_smoothing=0.2", "kl_divergence"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        check_targets("dense units=5 activation=tanh; dense units=3", losses[i], (struct bp_shape){1, {4}}, true);
    check_targets("masking; gru units=3 return_sequences=1; dense units=2", "binary_cross_entropy", (struct bp_shape){2, {4, 2}}, true);
}
END_TEST

START_TEST(every_loss) {
    for (int32_t i = 0; i < bp_losses.count; i++) {
        const struct bp_loss_ops *loss = (const struct bp_loss_ops *)bp_losses.entries[i];
        const bool single = loss->head && !strcmp(loss->head->entry.name, "sigmoid");
        struct bp_value values[BP_VALUES_MAX];
        bp_values_preset(&loss->entry, values);
        const int32_t outputs = bp_loss_outputs_per_target(loss, values), units = single ? 1 : outputs > 1 ? 2 * outputs : 3;
        char text[128];
        snprintf(text, sizeof text, "dense units=5 activation=tanh; dense units=%d", (int)units);
        check_text(text, loss->entry.name, (struct bp_shape){1, {4}});
        if (loss->head) snprintf(text, sizeof text, "dense units=%d; activation activation=%s; flatten", (int)units, loss->head->entry.name);
        else snprintf(text, sizeof text, "dense units=5 activation=tanh; dense units=%d activation=sigmoid", (int)units);
        check_text(text, loss->entry.name, loss->head ? (struct bp_shape){1, {4}} : (struct bp_shape){2, {2, 4}});
    }
}
END_TEST

START_TEST(parameters_of_losses) {
    static const char *const losses[] = {
        "cross_entropy label_smoothing=0.2", "focal gamma=0",     "focal gamma=0.5",   "huber delta=0.3", "quantile quantiles=0.3",
        "quantile quantiles=0.05,0.5,0.8",   "tweedie power=1.2", "tweedie power=1.9", "dice smooth=1"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        check_text("dense units=5 activation=tanh; dense units=3", losses[i], (struct bp_shape){1, {4}});
}
END_TEST

/* A class for each position: steps, steps that a mask hides, cells of an image. */
START_TEST(classes_by_position) {
    check_text("dense units=5 activation=tanh; dense units=3", "cross_entropy label_smoothing=0.1", (struct bp_shape){2, {4, 2}});
    check_text("masking; gru units=3 return_sequences=1; dense units=3", "cross_entropy", (struct bp_shape){2, {4, 2}});
    check_text("conv2d filters=3 kernel_size=3 padding=same", "focal", (struct bp_shape){3, {4, 3, 2}});
    check_text("conv1d filters=4 kernel_size=3 padding=same", "ordinal", (struct bp_shape){2, {4, 2}});
    check_text("conv2d filters=1 kernel_size=3 padding=same", "dice", (struct bp_shape){3, {4, 3, 2}});
    check_text("masking; lstm units=3 return_sequences=1 name=l; dense units=1 name=s; global_max_pool in=l; dense units=2 name=c",
               "s: binary_cross_entropy; c*2: cross_entropy", (struct bp_shape){2, {4, 2}});
}
END_TEST

/* Several outputs, finite differences over their weighted sum; one of them read on by the next. */
START_TEST(several_outputs) {
    check_text("dense units=5 activation=tanh name=t; dense units=3 name=a; dense units=2 in=t name=b; dense units=1 in=t name=c",
               "a: cross_entropy; b*0.3: mse; c*2: binary_cross_entropy", (struct bp_shape){1, {4}});
    check_text("dense units=4 activation=tanh name=a; dense units=3 activation=gelu name=b; flatten name=f; dense units=2 name=c",
               "b: log_cosh; c*5: huber; a*0.1: mse", (struct bp_shape){1, {3}});
    check_text("masking; gru units=3 return_sequences=1 name=g; global_max_pool; dense units=2 name=c", "g: mse; c*3: cross_entropy",
               (struct bp_shape){2, {4, 2}});
    check_text("dense units=3 name=d; reshape target_shape=3,1 name=r; reshape target_shape=3; dense units=2 name=e",
               "e: mse; r*2: mse; d*0.5: cosine", (struct bp_shape){1, {4}});
}
END_TEST

/* Weights of 0 put every unit of relu exactly on its kink: all entries but the last bias are left out, none is wrong. */
START_TEST(kinks_are_left_out) {
    struct test_graph graph;
    struct bp_gradcheck_report report;
    test_graph(&graph, "activation activation=relu; dense units=3", "mse", (struct bp_shape){1, {1000}});
    ck_assert_int_eq(bp64_gradcheck(&graph.graph, 20, 1, 0, &report, NULL), 0);
    int64_t skipped = 0;
    for (int32_t i = 0; i < report.count; i++) skipped += report.tensors[i].skipped;
    ck_assert_int_ge(skipped, 1); /* of 20,000 normal numbers about two lie within 1e-4 of 0 */
    ck_assert_int_le(skipped, 20);
    ck_assert_double_le(report.error, TOLERANCE);
    free(report.tensors);
}
END_TEST

START_TEST(report_names_and_counts) {
    struct test_graph graph;
    struct bp_gradcheck_report report;
    struct bp_error error = {0};
    test_graph(&graph, "dense units=5 name=hidden activation=tanh; dense units=2", "cross_entropy", (struct bp_shape){1, {30}});
    ck_assert_int_eq(bp64_gradcheck(&graph.graph, 4, 1, 7, &report, &error), 0);
    ck_assert_int_eq(report.count, 5);
    ck_assert_str_eq(report.tensors[0].name, "x");
    ck_assert_str_eq(report.tensors[1].name, "hidden/kernel");
    ck_assert_str_eq(report.tensors[4].name, "dense_1/bias");
    ck_assert_int_eq(report.tensors[1].checked, 7);
    ck_assert_int_eq(report.tensors[4].checked, 2);
    ck_assert(report.tensors[1].largest > 0 && report.tensors[1].analytic != 0);
    free(report.tensors);
    graph.graph.outputs[0].loss = NULL;
    ck_assert_int_eq(bp64_gradcheck(&graph.graph, 4, 1, 7, &report, &error), -1);
    ck_contains(error.message, "a loss is needed");
    ck_assert_ptr_null(report.tensors);
}
END_TEST

Suite *suite_gradcheck(void);
Suite *suite_gradcheck(void) {
    Suite *suite = suite_create("gradcheck");
    TCase *tests = tcase_create("gradcheck");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_activation);
    tcase_add_test(tests, every_layer);
    tcase_add_test(tests, every_loss);
    tcase_add_test(tests, losses_of_shares);
    tcase_add_test(tests, parameters_of_losses);
    tcase_add_test(tests, several_outputs);
    tcase_add_test(tests, classes_by_position);
    tcase_add_test(tests, kinks_are_left_out);
    tcase_add_test(tests, report_names_and_counts);
    suite_add_tcase(suite, tests);
    return suite;
}
