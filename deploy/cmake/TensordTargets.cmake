# How every target of the project is built, and the helpers that declare them.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# One set of objects serves the server and the Python module.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE}")
endif()

add_library(tensord_options INTERFACE)
target_compile_options(tensord_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor)
# A fused multiply-add rounds once where the rules of casts round twice; results must not depend on the target.
target_compile_options(tensord_options INTERFACE -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # Wrong about literals in front of strings: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105651
  target_compile_options(tensord_options INTERFACE -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(tensord_options INTERFACE -Wthread-safety)
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 17)
    # Clang has coroutines, but does not say so, and libstdc++ then hides their header.
    target_compile_definitions(tensord_options INTERFACE __cpp_impl_coroutine=201902L)
  endif()
endif()
if(TENSORD_WERROR)
  target_compile_options(tensord_options INTERFACE -Werror)
endif()
# For generated code too: what protobuf's headers declare depends on it.
add_library(tensord_sanitize INTERFACE)
if(TENSORD_SANITIZE)
  target_compile_options(tensord_sanitize INTERFACE
    -fsanitize=${TENSORD_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(tensord_sanitize INTERFACE -fsanitize=${TENSORD_SANITIZE})
endif()
target_link_libraries(tensord_options INTERFACE tensord_sanitize)

# tensord_library(NAME SOURCES ... [LINKS ...]): a static library whose headers are included from the top of the tree.
function(tensord_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PUBLIC ${ARG_LINKS} PRIVATE tensord_options)
endfunction()

# tensord_test(NAME SOURCES ... [LINKS ...]): a GoogleTest binary that ctest runs as one test.
function(tensord_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} tensord_options GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set(timeout_seconds 300)
  if(TENSORD_SANITIZE)
    set(timeout_seconds 1200)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${timeout_seconds})
endfunction()
