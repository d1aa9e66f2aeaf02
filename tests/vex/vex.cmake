# vex, a peer that misbehaves (bin/vex), and the tests of vex itself.
#   tests/vex/test_<noun>.c    becomes the test vex.<noun>: its pure parts
#   tests/vex/test_<noun>.py   becomes the test vex.<noun>: what it does on the wire, to a server in
#                              Python
set(VEX_FOLDER ${CMAKE_CURRENT_LIST_DIR})
set(VEX_PARTS)
foreach(part IN ITEMS arguments crowd framing help histogram options pair peer relay replies report
    script sockets steps stream timers)
  list(APPEND VEX_PARTS ${VEX_FOLDER}/${part}.c)
endforeach()
add_library(vex_parts OBJECT ${VEX_PARTS})
target_include_directories(vex_parts PUBLIC ${VEX_FOLDER})
target_link_libraries(vex_parts PUBLIC berth_flags)
# Optimized in every build: what measures a server must not be what is slow.
target_compile_options(vex_parts PUBLIC -std=gnu17 -D_GNU_SOURCE -O2)
add_executable(vex ${VEX_FOLDER}/main.c)
target_link_libraries(vex PRIVATE vex_parts)

file(GLOB VEX_TESTS CONFIGURE_DEPENDS ${VEX_FOLDER}/test_*.c)
foreach(source IN LISTS VEX_TESTS)
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "test_" "" noun ${name})
  add_executable(vex_${noun} ${source})
  target_link_libraries(vex_${noun} PRIVATE vex_parts PkgConfig::CMOCKA)
  add_test(NAME vex.${noun} COMMAND vex_${noun})
  set_tests_properties(vex.${noun} PROPERTIES TIMEOUT ${TEST_SECONDS})
endforeach()

if(E2E_NO_PYTEST)
  return()
endif()
math(EXPR VEX_WIRE_SECONDS "${TEST_SECONDS} * 4") # many small ones, which wait for nothing to happen
file(GLOB VEX_WIRE_TESTS CONFIGURE_DEPENDS ${VEX_FOLDER}/test_*.py)
foreach(source IN LISTS VEX_WIRE_TESTS)
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "test_" "" noun ${name})
  add_test(NAME vex.${noun} COMMAND ${BERTH_PYTHON} -B -m pytest -q -p no:cacheprovider ${source})
  set_tests_properties(vex.${noun} PROPERTIES TIMEOUT ${VEX_WIRE_SECONDS} SKIP_RETURN_CODE 77
    ENVIRONMENT "BERTH_BIN=${CMAKE_BINARY_DIR}/bin;BERTH_TEST_SECONDS=${TEST_SECONDS}")
endforeach()
