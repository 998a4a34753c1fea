# One room is one folder below src/: a library landfall_<room> of all its .cpp files, and one test program
# <room>_tests of its *_test.cpp files. What tests of this and later rooms share stands in testing.h and testing.cpp. A
# room's own CMakeLists.txt, where it has one, adds what is special: the libraries it leans on and the tables made from
# its files.

find_package(Threads REQUIRED)
if(CMAKE_CROSSCOMPILING)
  # The distribution's GoogleTest library is for this machine; its sources are packaged too.
  add_subdirectory(/usr/src/googletest/googletest ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
  target_compile_options(gtest PRIVATE -O0)  # half the time to build; tests wait for kernels
else()
  find_package(GTest REQUIRED)
endif()

# -Wrestrict and what follows it: GCC 12 finds fault with sums of strings, wrongly.
add_library(landfall_options INTERFACE)
target_include_directories(landfall_options INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_BINARY_DIR}/generated)
target_compile_options(landfall_options INTERFACE -Wall -Wextra -Wno-missing-field-initializers -fno-math-errno
                                                  -ffp-contract=off
                                                  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict;-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>)
target_link_libraries(landfall_options INTERFACE Threads::Threads)
if(LANDFALL_SANITIZE)
  target_compile_options(landfall_options INTERFACE -fsanitize=${LANDFALL_SANITIZE} -fno-omit-frame-pointer
                                                    -fno-sanitize-recover=all)
  target_link_options(landfall_options INTERFACE -fsanitize=${LANDFALL_SANITIZE})
  target_compile_definitions(landfall_options INTERFACE LANDFALL_FEW_TILES)
  if(LANDFALL_SANITIZE MATCHES undefined)
    # In unrolled kernels this one check takes clang over a minute for each file; a wild pointer that is used is found by
    # the address sanitizer.
    target_compile_options(landfall_options INTERFACE -fno-sanitize=pointer-overflow)
    # Clang 14 cannot emit this one's data for coroutines ("cannot represent a difference across sections").
    target_compile_options(landfall_options INTERFACE $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)
  endif()
endif()
if(LANDFALL_FUZZ)
  target_compile_options(landfall_options INTERFACE -fsanitize=fuzzer-no-link)  # so that the fuzzer sees the branches
endif()
if(LANDFALL_PARSERS_ONLY)
  target_compile_definitions(landfall_options INTERFACE LANDFALL_SCALAR_ONLY)
endif()

# The standard library's headers are most of what a file has to parse, and GoogleTest's of a test: they are compiled once
# for all that are optimised alike. The tidy preset builds without, so no file forgets to include what it uses.
set(LANDFALL_STANDARD_HEADERS
    <algorithm> <atomic> <charconv> <cmath> <cstdio> <cstring> <functional> <map> <memory> <mutex>
    <optional> <set> <span> <string> <string_view> <thread> <unordered_map> <variant> <vector>)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/nothing.cpp CONTENT "")
add_library(landfall_standard_header OBJECT ${CMAKE_BINARY_DIR}/generated/nothing.cpp)
target_link_libraries(landfall_standard_header PRIVATE landfall_options)
target_precompile_headers(landfall_standard_header PRIVATE ${LANDFALL_STANDARD_HEADERS})
add_library(landfall_test_header OBJECT ${CMAKE_BINARY_DIR}/generated/nothing.cpp)
# Half the time to build; what takes time to run is in the libraries. Under an emulator tests themselves take long.
set(LANDFALL_TEST_OPTIONS $<IF:$<BOOL:${CMAKE_CROSSCOMPILING}>,-O1,-O0>)
target_compile_options(landfall_test_header PRIVATE ${LANDFALL_TEST_OPTIONS})
target_link_libraries(landfall_test_header PRIVATE landfall_options GTest::gtest)
target_precompile_headers(landfall_test_header PRIVATE <gtest/gtest.h> ${LANDFALL_STANDARD_HEADERS})

function(landfall_room room)
  set(folder ${CMAKE_SOURCE_DIR}/src/${room})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  if(LANDFALL_KERNELS_ONLY)  # what leans on libraries that are not there for the other processor; kernels need none
    list(FILTER sources EXCLUDE REGEX "/base/(digest|gzip|json|http_client)(_test)?\\.cpp$")
  endif()
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "(_test|/testing|/main)\\.cpp$")
  if(NOT sources)
    return()
  endif()
  add_library(landfall_${room} STATIC ${sources})
  target_link_libraries(landfall_${room} PUBLIC landfall_options)
  if(EXISTS ${folder}/CMakeLists.txt)
    add_subdirectory(${folder})
  endif()
  get_target_property(own_header landfall_${room} PRECOMPILE_HEADERS)
  if(NOT own_header)
    target_precompile_headers(landfall_${room} REUSE_FROM landfall_standard_header)
  endif()
  if(EXISTS ${folder}/testing.cpp)
    add_library(landfall_${room}_testing STATIC EXCLUDE_FROM_ALL ${folder}/testing.cpp)
    target_link_libraries(landfall_${room}_testing PUBLIC landfall_${room} GTest::gtest)
    set_property(GLOBAL APPEND PROPERTY LANDFALL_TESTING landfall_${room}_testing)
  endif()
  if(tests AND NOT LANDFALL_PARSERS_ONLY)
    add_executable(${room}_tests ${tests})
    get_property(testing GLOBAL PROPERTY LANDFALL_TESTING)
    target_compile_options(${room}_tests PRIVATE ${LANDFALL_TEST_OPTIONS})
    target_precompile_headers(${room}_tests REUSE_FROM landfall_test_header)
    target_link_libraries(${room}_tests PRIVATE ${testing} landfall_${room} GTest::gtest GTest::gtest_main)
    if(COMMAND landfall_${room}_test_setup)
      cmake_language(CALL landfall_${room}_test_setup ${room}_tests)
    endif()
    if(CMAKE_CROSSCOMPILING)  # an emulator is slow: half of the cases on each of two cores
      foreach(shard 0 1)
        set(test ${room}_${shard})
        add_test(NAME ${test} COMMAND ${room}_tests WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        set_tests_properties(${test} PROPERTIES LABELS unit ENVIRONMENT
          "GTEST_TOTAL_SHARDS=2;GTEST_SHARD_INDEX=${shard};GTEST_OUTPUT=xml:${CMAKE_BINARY_DIR}/reports/unit/${test}_tests.xml")
      endforeach()
    else()
      add_test(NAME ${room} COMMAND ${room}_tests WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
      set_tests_properties(${room} PROPERTIES LABELS unit)
    endif()
    set_property(GLOBAL APPEND PROPERTY LANDFALL_TESTS ${room}_tests)
  endif()
endfunction()

# landfall_table(TARGET FOLDER HEADER TYPE): every x.cpp directly in FOLDER must define `extern const TYPE k_x;` in
# namespace landfall. Generates <name of FOLDER>_table.cpp with `std::span<const TYPE* const> <name>_table()`, to be
# declared in HEADER. A file without its symbol fails to link, by name.
function(landfall_table target folder header type)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.cpp)
  list(FILTER files EXCLUDE REGEX "_test\\.cpp$")
  list(SORT files)
  # Such files define the same names, each for itself.
  set_source_files_properties(${files} TARGET_DIRECTORY ${target} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  get_filename_component(name ${folder} NAME)
  set(declarations "")
  set(rows "")
  foreach(file IN LISTS files)
    get_filename_component(stem ${file} NAME_WE)
    string(APPEND declarations "extern const ${type} k_${stem};\n")
    string(APPEND rows "      &k_${stem},\n")
  endforeach()
  set(out ${CMAKE_BINARY_DIR}/generated/${name}_table.cpp)
  file(CONFIGURE OUTPUT ${out} CONTENT [[// Generated from the files of a folder; see cmake/Rooms.cmake.
#include <span>

#include "@header@"

namespace landfall {

@declarations@
std::span<const @type@* const> @name@_table() {
  static const @type@* const kRows[] = {
@rows@  };
  return kRows;
}

}  // namespace landfall
]] @ONLY)
  target_sources(${target} PRIVATE ${out})
endfunction()
