# What ./dev test runs: the tests of four build folders in one run of CTest, so that the one
# summary at the end speaks for all of them. It is read by ctest, not by cmake, as the
# CTestTestfile.cmake of build/all.
#
#   build        every test, as users build the library        unit.frame
#   build/asan   every test, with ASan and UBSan               asan/unit.frame
#   build/tsan   what several threads share, with TSan         tsan/unit.threads
#   build/fuzz   the short fuzz runs only, built with clang    fuzz.frame
#
# The names must differ, or one build's time limits would be set on another's tests. So the two
# commands that a CTestTestfile.cmake consists of are wrapped; redefining a command of CMake keeps
# the original as _command.

# Tests of what several threads share; target tsan_tests builds them (tests/CMakeLists.txt).
set(threaded "^unit\\.(mailbox|keep|remote|threads|threads_full)$")

foreach(command IN ITEMS add_test set_tests_properties)
  cmake_language(EVAL CODE "function(${command})\n set(original _${command})\n" [===[
    if(NOT ARGV0 MATCHES "${only}")
      return()
    endif()
    # Each argument in brackets: lists and empty values come through whole.
    set(call "${original}([==[${prefix}${ARGV0}]==]")
    math(EXPR last "${ARGC} - 1")
    foreach(index RANGE 1 ${last})
      string(APPEND call " [==[${ARGV${index}}]==]")
    endforeach()
    cmake_language(EVAL CODE "${call})")
  endfunction()
  ]===])
endforeach()

set(only "")
set(prefix "")
subdirs(..)

set(prefix "asan/")
subdirs(../asan)

set(only "${threaded}")
set(prefix "tsan/")
subdirs(../tsan)

set(only "^fuzz\\.")
set(prefix "")
subdirs(../fuzz)
