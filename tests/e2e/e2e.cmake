# End-to-end tests: the real programs against a peer written in Python (tests/e2e/peer.py).
# tests/e2e/test_<noun>.py becomes the tests  e2e.<noun>.epoll  and  e2e.<noun>.uring,  or
# e2e.<noun>  if it has nothing to do with a backend. They need pytest, Debian's python3-pytest.
execute_process(COMMAND ${BERTH_PYTHON} -m pytest --version RESULT_VARIABLE E2E_NO_PYTEST
  OUTPUT_QUIET ERROR_QUIET)
if(E2E_NO_PYTEST OR NOT TARGET berthd OR NOT TARGET berthload)
  message(STATUS "e2e tests are left out: they need pytest (python3-pytest), berthd and berthload")
  return()
endif()

set(E2E_WITHOUT_BACKEND config options example)
set(E2E_SERIAL descriptors slow_reader thousands seed) # large, or measured in time
set(E2E_SECONDS_thousands 60)
set(E2E_SECONDS_defects 20) # many small ones, each with its server
set(E2E_SECONDS_seed 20)
set(E2E_SECONDS_full 600)
set(E2E_SECONDS_ledger 60) # many small ones, each with its server
set(E2E_SECONDS_ledger_cuts 60)

function(berth_e2e_test name source backends)
  get_filename_component(noun ${source} NAME_WE)
  string(REPLACE "test_" "" noun ${noun})
  set(seconds ${TEST_SECONDS})
  if(DEFINED E2E_SECONDS_${noun} AND E2E_SECONDS_${noun} GREATER seconds)
    set(seconds ${E2E_SECONDS_${noun}})
  endif()
  set(patience ${seconds}) # what the test itself takes for its limit
  if(patience GREATER 60)
    set(patience 60)
  endif()
  set(environment BERTH_BIN=${CMAKE_BINARY_DIR}/bin BERTH_BACKENDS=${backends}
    BERTH_SANITIZE=${BERTH_SANITIZE} BERTH_TEST_SECONDS=${patience})
  add_test(NAME ${name} COMMAND ${BERTH_PYTHON} -B -m pytest -q -p no:cacheprovider ${source})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds} SKIP_RETURN_CODE 77
    ENVIRONMENT "${environment}")
  set(labels e2e)
  if(noun IN_LIST E2E_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
    list(APPEND labels serial ${LABEL_AGAIN})
  endif()
  if(noun STREQUAL "full")
    list(APPEND labels full ${LABEL_AGAIN})
    set_tests_properties(${name} PROPERTIES PROCESSORS 2) # that many are busy with it
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${labels}")
endfunction()

file(GLOB E2E_TESTS CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.py)
foreach(source IN LISTS E2E_TESTS)
  get_filename_component(noun ${source} NAME_WE)
  string(REPLACE "test_" "" noun ${noun})
  if(noun IN_LIST E2E_WITHOUT_BACKEND)
    berth_e2e_test(e2e.${noun} ${source} epoll)
  else()
    foreach(backend IN ITEMS epoll uring)
      berth_e2e_test(e2e.${noun}.${backend} ${source} ${backend})
    endforeach()
  endif()
endforeach()
