// The one macro that lets the rules of casts compile for a GPU as well.
#ifndef TENSORD_CORE_CAST_HOST_DEVICE_H_
#define TENSORD_CORE_CAST_HOST_DEVICE_H_

#ifdef __CUDACC__
#define TENSORD_HOST_DEVICE __host__ __device__
#else
#define TENSORD_HOST_DEVICE
#endif

#endif  // TENSORD_CORE_CAST_HOST_DEVICE_H_
