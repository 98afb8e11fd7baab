"""The rules of NNIE's mapper, with their findings."""

__all__ = ["RULES", "finding"]

from quant.target.finding import Rules

SUMMARIES = (
    "every layer's type is one that NNIE computes, or Custom, Proposal or a name ending in _cpu",
    "an input is `input` with `input_shape`, or a layer Input, of 4 lengths (a vector 2), first 1",
    "a picture input has 8 to 4096 rows and columns and 1 or 3 channels, 3 for YUV",
    "layer names are unique, a bottom is made before it is read, and every input is read",
    "names are ASCII letters, digits, _, . and -; those of inputs and outputs have 31 at most",
    "no ceil_mode, no round_mode, and no field that NNIE's Caffe dialect lacks",
    "a Pooling gives the shape that the source model has, though Caffe rounds up",
    "an average Pooling with pad counts the padding, as the source model must",
    "kernel, stride and dilation are 1 to 255, pad is 0 to 255",
    "every channel count, height, width and weight dimension is 4096 or less",
    "group is 2048 or less and divides the channels; depthwise is best in 16 bit",
    "a Permute has the order 0, 2, 3, 1",
    "a Reshape has 4 dims, the first of them 0",
    "nothing acts on the batch axis, and a Concat joins 32 blobs or fewer",
    "the bottoms of an Eltwise have one shape, and nothing is tiled or broadcast",
    "an InnerProduct is followed by an activation or Softmax only, never by MatMul",
    "a Power has an exponent of -3, -2, -1, -0.5, 0.5, 1, 2 or 3; a Normalize an eps of 1e-10",
    "an Upsample doubles and follows no _cpu layer; Interp is often refused",
    "a layer name ends in _hp exactly when compile_mode is 2, and is no in-place activation's",
    "_report ends the name of a top, and not that of a Custom layer",
    "no _cpu on an input or an in-place activation, nor behind an input, Custom or Proposal",
    "8 segments, 16 inputs and 16 outputs a segment, 4 ROI layers and 2 a segment at most",
    "the caffemodel has the blobs of every layer under its name, in its shapes, all finite",
    "no blob of 5 dimensions, and no layer that only training needs",
    "the cfg has the required keys, and a group of input keys for every input of the prototxt",
    "norm_type fits image_type, and mean_file fits norm_type",
    "data_scale is above 1/4096, instruction_name under 120 characters, numbers are legal ones",
    "the listed pictures exist, are ASCII, of a known kind and of the network's size",
    "net_type is 1 with ROI layers, 2 with LSTM or RNN, else 0",
    "for speed: input channels in sixteens, output channels in fours, output width in sixteens",
)

RULES: dict[str, str] = {f"nnie-{i}": summary for i, summary in enumerate(SUMMARIES, 1)}
"""Rule to its requirement. No rule was tested with the mapper itself."""

finding = Rules[str]("nnie", RULES).finding
"""A finding of a rule of NNIE: see `Rules.finding`."""
