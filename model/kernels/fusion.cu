/* The passes of a blend, and the warp, for a GPU: each walks its window once.
 *
 * A kernel reads integer pixels as they are and writes integer pixels, or planes of floats of a
 * quarter of their number. What is between is in registers and in the block's room. Formulas and
 * borders are those of the CPU's kernels, whose headers they share: reduce.c, collapse.c, warp.c.
 *
 * model/kernels/grids.py says what a kernel is given, model/torch_passes.py checks sizes and
 * types, and model/torch_kernels.py compiles this file on the machine that runs it.
 */

#include "blocks.h"
#include "scalars.h"
#include "one_lane.h"
#include "rgb.h"
#include "colour_rule.h"
#include "steps.h"
#include "gpu_pixels.h"
#include "gpu_reduce.h"
#include "gpu_collapse.h"
#include "gpu_warp.h"
