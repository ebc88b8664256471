/* How a kernel is written for a GPU so that a compiler of C makes the same of it for the CPU.
 *
 * A kernel computes one block of a grid, in phases. In a phase the items of the block are computed in
 * any order, by as many threads as there are: EACH_ITEM goes through them, and what an item writes,
 * no other item of its phase reads. MEET is the end of a phase, after which all may read it. The
 * only thing that a block keeps from a phase to the next is its `room`. So one thread that goes
 * through all items, block by block, computes what a GPU does: the tests of the kernels on a machine
 * without one.
 */

#ifndef EXPOFUSE_BLOCKS_H
#define EXPOFUSE_BLOCKS_H

#define THREADS 256 /* of a block */

#ifdef __CUDACC_RTC__ /* NVIDIA's compiler, which has no headers of its own */

typedef unsigned char uint8_t;
typedef unsigned short uint16_t;

#define INLINE static __device__ __forceinline__
#define KERNEL(NAME, GIVEN)                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(const __grid_constant__ GIVEN given)
#define ACROSS ((int)blockIdx.x)
#define DOWN ((int)blockIdx.y)
#define DEEP ((int)blockIdx.z)
#define ROOM extern __shared__ float room[]
#define EACH_ITEM(item, count) for (int item = (int)threadIdx.x; item < (count); item += THREADS)
#define MEET __syncthreads()
#define WRITTEN_OUT _Pragma("unroll")

#else

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#define ROOM_BYTES 49152 /* what every GPU gives a block that does not ask for more */

typedef struct {
    int across, down, deep;
} Place;

/* Beside the kernel a function that computes a whole grid. */
#define KERNEL(NAME, GIVEN)                                                                       \
    static void NAME##_block(const GIVEN given, const Place place);                               \
    void NAME(const GIVEN *given, int across, int down, int deep) {                               \
        for (int z = 0; z < deep; z++)                                                            \
            for (int y = 0; y < down; y++)                                                        \
                for (int x = 0; x < across; x++) NAME##_block(*given, (Place){x, y, z});          \
    }                                                                                             \
    static void NAME##_block(const GIVEN given, const Place place)
#define ACROSS (place.across)
#define DOWN (place.down)
#define DEEP (place.deep)
#define ROOM float room[ROOM_BYTES / sizeof(float)]
#ifdef BACKWARDS /* the other order, by which a test sees that there is none */
#define EACH_ITEM(item, count) for (int item = (count) - 1; item >= 0; item--)
#else
#define EACH_ITEM(item, count) for (int item = 0; item < (count); item++)
#endif
#define MEET
#define WRITTEN_OUT

#endif

#endif
