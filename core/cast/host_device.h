// What lets the rules of casts compile for a GPU as well: TENSORD_HOST_DEVICE
// before a function, and TENSORD_DEVICE_CODE, defined while a compiler works on
// its device side.
#ifndef TENSORD_CORE_CAST_HOST_DEVICE_H_
#define TENSORD_CORE_CAST_HOST_DEVICE_H_

#ifdef __CUDACC__
#define TENSORD_HOST_DEVICE __host__ __device__
#else
#define TENSORD_HOST_DEVICE
#endif

#ifdef __CUDA_ARCH__
#define TENSORD_DEVICE_CODE
#endif

#endif  // TENSORD_CORE_CAST_HOST_DEVICE_H_
