# TENSORD_CUDA: whether to build what needs CUDA's compiler. On where there is one that is new enough.
# TENSORD_CUDA_ARCHS: the devices that the kernels are compiled for, as CMAKE_CUDA_ARCHITECTURES. Each takes a minute of
# a processor; the presets, which are for development, take one.

set(TENSORD_CUDA_MINIMUM 12.4)
if(NOT DEFINED TENSORD_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
endif()
if(TENSORD_CUDA OR CMAKE_CUDA_COMPILER)
  enable_language(CUDA)
endif()
if(TENSORD_CUDA AND CMAKE_CUDA_COMPILER_VERSION VERSION_LESS TENSORD_CUDA_MINIMUM)
  message(FATAL_ERROR "CUDA ${CMAKE_CUDA_COMPILER_VERSION} is older than ${TENSORD_CUDA_MINIMUM}")
endif()
set(has_cuda OFF)
if(CMAKE_CUDA_COMPILER AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL TENSORD_CUDA_MINIMUM)
  set(has_cuda ON)
endif()
option(TENSORD_CUDA "Build what needs CUDA's compiler" ${has_cuda})

if(TENSORD_CUDA AND NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  # CMake 3.25 does not know of later compilers that they take it.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
# All that are worth code of their own, and the last one's intermediate code for those to come.
set(TENSORD_CUDA_ARCHS 75-real 80-real 90-real 100 CACHE STRING "CUDA architectures of the kernels")
if(TENSORD_CUDA)
  # CMake 3.25 sets a property of this, which CUDA 13 does not have any more.
  if(NOT TARGET CUDA::nvToolsExt)
    add_library(CUDA::nvToolsExt INTERFACE IMPORTED)
  endif()
  find_package(CUDAToolkit REQUIRED)
endif()
if(CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CCACHE}")
endif()
