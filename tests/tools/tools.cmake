# The keepers are tested too: each proves on planted files that it finds what it must find.
foreach(keeper IN ITEMS check_layers check_style coverage)
  add_test(NAME tools.${keeper}
    COMMAND ${BERTH_PYTHON} ${PROJECT_SOURCE_DIR}/tools/${keeper} --self-test)
  set_tests_properties(tools.${keeper} PROPERTIES TIMEOUT ${TEST_SECONDS} LABELS "${LABEL_AGAIN}")
endforeach()

# What the texts say of the programs, held against the programs.
add_test(NAME tools.check_docs
  COMMAND ${BERTH_PYTHON} ${PROJECT_SOURCE_DIR}/tools/check_docs --self-test
    ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(tools.check_docs PROPERTIES TIMEOUT ${TEST_SECONDS})

# docs/FAULTS.md is what the fault tests recorded, and their commands exist: in the plain build, as
# not all of them are run with sanitizers.
if(NOT BERTH_SANITIZE)
  add_test(NAME tools.faults
    COMMAND ${BERTH_PYTHON} ${PROJECT_SOURCE_DIR}/tools/faults --self-test ${CMAKE_BINARY_DIR})
  set_tests_properties(tools.faults PROPERTIES TIMEOUT ${TEST_SECONDS})
endif()

# Installs into an empty folder and builds small programs from there, some of them with CMake.
separate_arguments(INSTALL_FLAGS UNIX_COMMAND "${CMAKE_C_FLAGS}")
if(BERTH_SANITIZE)
  list(APPEND INSTALL_FLAGS -fsanitize=${BERTH_SANITIZE})
endif()
if(BERTH_COVERAGE)
  list(APPEND INSTALL_FLAGS -fprofile-instr-generate)
endif()
add_test(NAME tools.install
  COMMAND ${BERTH_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/install.py ${PROJECT_SOURCE_DIR}
    ${CMAKE_BINARY_DIR} ${CMAKE_BINARY_DIR}/installed ${CMAKE_C_COMPILER} ${INSTALL_FLAGS})
set_tests_properties(tools.install PROPERTIES TIMEOUT 30 SKIP_RETURN_CODE 77)

# The time line of both ends, on samples; its page, in a browser (a real one takes seconds to start).
add_test(NAME tools.flow
  COMMAND ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/flow.py ${PROJECT_SOURCE_DIR}
    ${CMAKE_BINARY_DIR}/flow)
set_tests_properties(tools.flow PROPERTIES TIMEOUT 30)
add_test(NAME tools.flow_page
  COMMAND ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/flow_page.py ${PROJECT_SOURCE_DIR}
    ${CMAKE_BINARY_DIR}/bin ${CMAKE_BINARY_DIR}/flow_page)
set_tests_properties(tools.flow_page PROPERTIES TIMEOUT 60 SKIP_RETURN_CODE 77
  LABELS "${LABEL_AGAIN}")

# The ledger's checker, on planted ledgers; ./dev ledger, shortened, on both backends.
add_test(NAME tools.ledger
  COMMAND ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/ledger.py ${PROJECT_SOURCE_DIR}
    ${CMAKE_BINARY_DIR}/ledger)
set_tests_properties(tools.ledger PROPERTIES TIMEOUT 30)

# ./dev soak: what it makes of planted runs; and shortened, on both backends.
add_test(NAME tools.soak
  COMMAND ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/soak.py ${PROJECT_SOURCE_DIR})
set_tests_properties(tools.soak PROPERTIES TIMEOUT ${TEST_SECONDS})
if(NOT BERTH_SANITIZE) # a sanitizer's memory is not ours
  add_test(NAME tools.soak_short
    COMMAND ${BERTH_PYTHON} ${PROJECT_SOURCE_DIR}/tools/soak --seconds 20 ${CMAKE_BINARY_DIR}/bin)
  set_tests_properties(tools.soak_short PROPERTIES TIMEOUT 180 LABELS full RUN_SERIAL ON)
endif()

# ./dev scale, with few connections and fewer descriptors.
add_test(NAME tools.scale
  COMMAND ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/scale.py ${PROJECT_SOURCE_DIR}
    ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(tools.scale PROPERTIES TIMEOUT 60)

# ./dev walkthrough, shortened.
add_test(NAME tools.walkthrough_large
  COMMAND ${BERTH_PYTHON} ${PROJECT_SOURCE_DIR}/tools/walkthrough --seconds 2 --most 600
    ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(tools.walkthrough_large PROPERTIES TIMEOUT 180 LABELS full RUN_SERIAL ON)

# The guide, against the programs: its commands are run, the calls that it names exist.
add_test(NAME tools.walkthrough
  COMMAND ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/walkthrough.py ${PROJECT_SOURCE_DIR}
    ${CMAKE_BINARY_DIR}/bin ${CMAKE_BINARY_DIR}/walkthrough)
set_tests_properties(tools.walkthrough PROPERTIES TIMEOUT 180 RUN_SERIAL ON
  LABELS "serial;${LABEL_AGAIN}")
add_test(NAME tools.faq
  COMMAND ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/faq.py ${PROJECT_SOURCE_DIR}
    ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(tools.faq PROPERTIES TIMEOUT ${TEST_SECONDS})

# ./dev bench without a benchmark: its order, its interval, its page.
add_test(NAME tools.bench_page
  COMMAND ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/bench_page.py ${PROJECT_SOURCE_DIR})
set_tests_properties(tools.bench_page PROPERTIES TIMEOUT ${TEST_SECONDS} LABELS "${LABEL_AGAIN}")

# The servers that Berth is measured against, as far as they are built. They are not for sanitizers.
if(NOT BERTH_SANITIZE)
  add_test(NAME tools.peers
    COMMAND ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/peers.py ${PROJECT_SOURCE_DIR}
      ${CMAKE_BINARY_DIR}/bin)
  set_tests_properties(tools.peers PROPERTIES TIMEOUT 60)
endif()
