# What Berth must survive, each fault by its number (docs/FAULTS.md):
# tests/faults/test_f<number>_<what>.py becomes  faults.f<number>_<what>.epoll  and  .uring,  and, if
# it calls scale(), a second time with the large counts, label full:  faults.f07_slow_full.epoll
# (not under sanitizers: the large counts are for figures).
# tests/faults/test_f<number>_<what>.c does both backends by itself.
if(E2E_NO_PYTEST OR NOT TARGET berthd OR NOT TARGET berthload)
  return()
endif()

set(FAULTS_WITHOUT_BACKEND f43_nonsense)

# Measured in time, or large.
set(FAULTS_SERIAL
  f01_half_open
  f02_vanished_reader
  f06_slow_sender
  f07_slow_reader
  f09_flood
  f10_descriptors
  f15_receive_buffers
  f13_accept_storm
  f18_broken_send
  f21_clocks
  f22_frozen
  f36_bad_lines
  f42_log
  f44_counters
)

# Limits in seconds, where the ordinary one is too little; of full forms, where five minutes are.
set(FAULTS_FULL_SECONDS 300)
foreach(noun IN ITEMS f06_slow_sender f09_flood f13_accept_storm)
  set(FAULTS_SECONDS_${noun} 20) # what is slower than it may be is measured again
endforeach()
set(FAULTS_SECONDS_f36_bad_lines 20)
set(FAULTS_SECONDS_f43_nonsense 30) # hundreds of starts
set(FAULTS_SECONDS_f46_flips 20)    # what stands still is waited for
set(FAULTS_FULL_SECONDS_f37_relay 1200) # a thousand relays
set(FAULTS_FULL_SECONDS_f23_stale_handles 1200) # a million connections on each backend

function(berth_fault_test name source backend full)
  get_filename_component(noun ${source} NAME_WE)
  string(REPLACE "test_" "" noun ${noun})
  set(key SECONDS_${noun})
  set(seconds ${TEST_SECONDS})
  set(environment BERTH_BIN=${CMAKE_BINARY_DIR}/bin BERTH_BACKENDS=${backend}
    BERTH_SANITIZE=${BERTH_SANITIZE})
  if(full)
    set(key FULL_SECONDS_${noun})
    set(seconds ${FAULTS_FULL_SECONDS})
    list(APPEND environment BERTH_FULL=1)
  endif()
  if(DEFINED FAULTS_${key} AND FAULTS_${key} GREATER seconds)
    set(seconds ${FAULTS_${key}})
  endif()
  set(patience ${seconds}) # for one event, as in e2e.cmake
  if(patience GREATER 60)
    set(patience 60)
  endif()
  if(source MATCHES "\\.py$")
    add_test(NAME ${name} COMMAND ${BERTH_PYTHON} -B -m pytest -q -p no:cacheprovider ${source})
  else()
    add_test(NAME ${name} COMMAND faults_${noun})
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds} SKIP_RETURN_CODE 77 LABELS faults
    ENVIRONMENT "${environment};BERTH_TEST_SECONDS=${patience}")
  if(full)
    set_property(TEST ${name} APPEND PROPERTY LABELS full)
  else()
    set_property(TEST ${name} PROPERTY ENVIRONMENT_MODIFICATION "BERTH_FULL=unset:")
  endif()
  if(full OR noun IN_LIST FAULTS_SERIAL)
    set_property(TEST ${name} PROPERTY RUN_SERIAL ON)
    set_property(TEST ${name} APPEND PROPERTY LABELS serial ${LABEL_AGAIN})
  endif()
endfunction()

function(berth_fault_forms source backend)
  get_filename_component(noun ${source} NAME_WE)
  string(REPLACE "test_" "" noun ${noun})
  set(end)
  if(backend)
    set(end .${backend})
  endif()
  berth_fault_test(faults.${noun}${end} ${source} "${backend}" OFF)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(STRINGS ${source} scales REGEX "[^a-z_]scale\\(|BERTH_FULL")
  if(scales AND NOT BERTH_SANITIZE)
    berth_fault_test(faults.${noun}_full${end} ${source} "${backend}" ON)
  endif()
endfunction()

file(GLOB FAULTS_TESTS CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_f*.py)
foreach(source IN LISTS FAULTS_TESTS)
  get_filename_component(noun ${source} NAME_WE)
  string(REPLACE "test_" "" noun ${noun})
  if(noun IN_LIST FAULTS_WITHOUT_BACKEND)
    berth_fault_forms(${source} "")
  else()
    berth_fault_forms(${source} epoll)
    berth_fault_forms(${source} uring)
  endif()
endforeach()

file(GLOB FAULTS_PROGRAMS CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_f*.c)
foreach(source IN LISTS FAULTS_PROGRAMS)
  get_filename_component(noun ${source} NAME_WE)
  string(REPLACE "test_" "" noun ${noun})
  add_executable(faults_${noun} ${source} unit/help_server.c)
  target_link_libraries(faults_${noun} PRIVATE berth PkgConfig::CMOCKA)
  target_include_directories(faults_${noun} PRIVATE ${PROJECT_SOURCE_DIR}/src
    ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(faults_${noun} PRIVATE -std=gnu17 -D_GNU_SOURCE)
  berth_fault_forms(${source} "")
endforeach()

# F16 once more, with a submission queue that stays full.
add_test(NAME faults.f16_refused COMMAND variant_refuse io_uring_enter=EBUSY/3
  -- $<TARGET_FILE:faults_f16_full_queues> refused)
set_tests_properties(faults.f16_refused PROPERTIES TIMEOUT 30 SKIP_RETURN_CODE 77 LABELS faults
  ENVIRONMENT_MODIFICATION "BERTH_FULL=unset:")

# What a test puts between a program and the C library (LD_PRELOAD): preload/<what>.c becomes
# bin/preload/<what>.so
file(GLOB FAULTS_PRELOADS CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/preload/*.c)
foreach(source IN LISTS FAULTS_PRELOADS)
  get_filename_component(noun ${source} NAME_WE)
  add_library(faults_${noun} MODULE ${source})
  target_link_libraries(faults_${noun} PRIVATE ${CMAKE_DL_LIBS})
  target_compile_options(faults_${noun} PRIVATE -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wconversion
    -Wshadow -Werror)
  set_target_properties(faults_${noun} PROPERTIES PREFIX "" OUTPUT_NAME ${noun}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/preload)
endforeach()

# Where every test of the folder tests/ may leave rows for docs/FAULTS.md, and its name for them.
function(berth_fault_rows)
  get_property(names DIRECTORY PROPERTY TESTS)
  foreach(name IN LISTS names)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT_MODIFICATION
      "BERTH_FAULTS_DIR=set:${CMAKE_BINARY_DIR}/faults" "BERTH_FAULTS_TEST=set:${name}")
  endforeach()
endfunction()
cmake_language(DEFER CALL berth_fault_rows)
