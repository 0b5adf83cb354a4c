# The CUDA compiler and libraries of the device `cuda`.

# As CMAKE_CUDA_ARCHITECTURES has them: 90a is code for that GPU, 90a-virtual what its driver compiles.
set(STRAKE_CUDA_ARCHITECTURES "80;90a;100" CACHE STRING "Compute capabilities to build for")
if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS /usr/local/cuda/bin REQUIRED)
endif()
# CMake 3.25 does not know all of them: they are given as options. Nor does it know nvcc's C++20.
set(CMAKE_CUDA_ARCHITECTURES OFF)
enable_language(CUDA)
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
find_package(CUDAToolkit 13.0 REQUIRED)
find_path(STRAKE_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} REQUIRED)
find_library(STRAKE_NCCL nccl HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib REQUIRED)

# strake_cuda_flags(<name> <architectures>): what CUDA sources for these are compiled with.
function(strake_cuda_flags name)
  add_library(${name} INTERFACE)
  target_compile_options(${name} INTERFACE
    "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-lineinfo;-Xcompiler=-Wall,-ffp-contract=off>")
  foreach(architecture IN LISTS ARGN)
    string(REGEX MATCH "^([0-9]+[af]?)(-virtual)?$" known "${architecture}")
    if(NOT known)
      message(FATAL_ERROR "STRAKE_CUDA_ARCHITECTURES: 80, 90a or 90a-virtual expected, found '${architecture}'")
    endif()
    set(code sm_${CMAKE_MATCH_1})
    if(CMAKE_MATCH_2)
      set(code compute_${CMAKE_MATCH_1})
    endif()
    target_compile_options(${name} INTERFACE
      "$<$<COMPILE_LANGUAGE:CUDA>:-gencode=arch=compute_${CMAKE_MATCH_1},code=${code}>")
  endforeach()
endfunction()

strake_cuda_flags(strake_cuda_flags ${STRAKE_CUDA_ARCHITECTURES})
# Sources named *_sm90.cu use what Hopper alone has.
set(hopper ${STRAKE_CUDA_ARCHITECTURES})
list(FILTER hopper INCLUDE REGEX "^90a")
if(NOT hopper)
  set(hopper 90a-virtual)  # the least to compile: no GPU of those asked for runs it
endif()
strake_cuda_flags(strake_cuda_flags_sm90 ${hopper})
