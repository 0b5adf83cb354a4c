# One layer, one library: what a layer may use is what it links.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
find_package(Threads REQUIRED)

# What every target is compiled with. Contraction of a*b+c into one rounding would let two
# compilers, or two functions, give different bits for the same sum.
add_library(strake_flags INTERFACE)
target_compile_options(strake_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion;-Wswitch;-Werror;-ffp-contract=off>")
if(STRAKE_SANITIZE)
  target_compile_definitions(strake_flags INTERFACE STRAKE_SANITIZED)
  target_compile_options(strake_flags INTERFACE
    -fsanitize=${STRAKE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all
    # g++ warns of what the instrumentation makes of the standard library.
    "$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-array-bounds;-Wno-stringop-overflow>")
  if(STRAKE_SANITIZE MATCHES "undefined")
    # Checks at each use of a pointer or reference take as long to compile as all the rest. What
    # these find, the address sanitizer finds too, or the processor; tests' own code goes without.
    target_compile_options(strake_flags INTERFACE
      -fno-sanitize=null,object-size,vptr
      $<$<BOOL:$<TARGET_PROPERTY:STRAKE_IS_TEST>>:-fno-sanitize=undefined>)
  endif()
  target_link_options(strake_flags INTERFACE -fsanitize=${STRAKE_SANITIZE})
endif()

# For sources that are much unrolled: debug information would double the time to compile them, and
# sanitizers would take minutes. The address sanitizer still checks every access to the heap; the
# stack's few arrays and undefined arithmetic are left out.
set(STRAKE_UNROLLED_FLAGS -g0)
if(STRAKE_SANITIZE)
  list(APPEND STRAKE_UNROLLED_FLAGS -fno-sanitize=undefined)
  if(STRAKE_SANITIZE MATCHES "address")
    list(APPEND STRAKE_UNROLLED_FLAGS -fno-sanitize-address-use-after-scope --param=asan-stack=0)
  endif()
endif()

# Headers of the standard library and of outside libraries that many sources include, parsed once.
# Sources include what they use all the same: the preset `cuda` builds without these.
set(STRAKE_COMMON_HEADERS
  <algorithm> <array> <chrono> <cmath> <cstdint> <filesystem> <fmt/format.h> <fmt/ranges.h>
  <functional> <map> <memory> <nlohmann/json.hpp> <optional> <set> <span> <string> <string_view>
  <thread> <utility> <vector>)

# strake_precompiled_headers(<target> <owner> <headers>): `owner` is the first target of a kind, and
# compiles them for all of that kind.
function(strake_precompiled_headers target owner)
  if(target STREQUAL owner)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endif()
endfunction()

# strake_layer(<name> SOURCES <files> DEPENDS <layers> LIBRARIES <outside libraries>)
function(strake_layer name)
  cmake_parse_arguments(LAYER "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  add_library(strake_${name} STATIC ${LAYER_SOURCES})
  add_library(strake::${name} ALIAS strake_${name})
  set_target_properties(strake_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(strake_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(strake_${name} PUBLIC cxx_std_20)
  target_link_libraries(strake_${name} PRIVATE $<BUILD_INTERFACE:strake_flags>)
  foreach(layer IN LISTS LAYER_DEPENDS)
    target_link_libraries(strake_${name} PUBLIC strake_${layer})
  endforeach()
  target_link_libraries(strake_${name} PRIVATE ${LAYER_LIBRARIES})
  strake_precompiled_headers(strake_${name} strake_base ${STRAKE_COMMON_HEADERS})
endfunction()
