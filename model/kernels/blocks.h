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
#define ROOM extern __shared__ float room[];
#define EACH_ITEM(item, count) for (int item = (int)threadIdx.x; item < (count); item += THREADS)
#define MEET __syncthreads()
#define WRITTEN_OUT _Pragma("unroll")

#else

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define ROOM_BYTES 49152 /* what every GPU gives a block that does not ask for more */

typedef struct {
    int across, down, deep;
} Place;

/* What no kernel has written yet: not a number. */
INLINE void clear_room(float *room) { memset(room, 0xff, ROOM_BYTES); }

/* Whether a block kept to the bytes that it has on a GPU. */
INLINE int has_kept_to(const float *room, int room_bytes) {
    const uint8_t *bytes = (const uint8_t *)room;
    for (int i = room_bytes; i < ROOM_BYTES; i++)
        if (bytes[i] != 0xff) return 0;
    return 1;
}

/* A function that computes a whole grid, and says how many blocks left their room. */
#define KERNEL(NAME, GIVEN)                                                                       \
    static void NAME##_block(const GIVEN given, const Place place, float *room);                  \
    int NAME(const GIVEN *given, int across, int down, int deep, int room_bytes) {                \
        float room[ROOM_BYTES / sizeof(float)];                                                   \
        int left = 0;                                                                             \
        for (int z = 0; z < deep; z++)                                                            \
            for (int y = 0; y < down; y++)                                                        \
                for (int x = 0; x < across; x++) {                                                \
                    clear_room(room);                                                             \
                    NAME##_block(*given, (Place){x, y, z}, room);                                 \
                    left += !has_kept_to(room, room_bytes);                                       \
                }                                                                                 \
        return left;                                                                              \
    }                                                                                             \
    static void NAME##_block(const GIVEN given, const Place place,                                \
                             __attribute__((unused)) float *room)
#define ACROSS (place.across)
#define DOWN (place.down)
#define DEEP (place.deep)
#define ROOM
#ifdef BACKWARDS /* the other order, by which a test sees that there is none */
#define EACH_ITEM(item, count) for (int item = (count) - 1; item >= 0; item--)
#else
#define EACH_ITEM(item, count) for (int item = 0; item < (count); item++)
#endif
#define MEET
#define WRITTEN_OUT

#endif

#endif
