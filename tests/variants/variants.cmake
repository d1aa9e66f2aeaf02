# bin/variants/berthd and bin/variants/berthload: the real programs, linked from the same objects,
# but for functions that the files of this folder stand in front of, by --wrap of the linker. So
# what a kernel lacks, or does wrong, can be had from outside; the library has no switch for tests.
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
file(GLOB VARIANT_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
list(FILTER VARIANT_SOURCES EXCLUDE REGEX "/refuse\\.c$") # a program of its own
foreach(program IN ITEMS berthd berthload)
  set(variant variant_${program})
  get_target_property(libraries ${program} LINK_LIBRARIES)
  add_executable(${variant} $<TARGET_OBJECTS:${program}> ${VARIANT_SOURCES})
  target_link_libraries(${variant} PRIVATE ${libraries})
  target_link_options(${variant} PRIVATE -Wl,--wrap=io_select,--wrap=io_select_for)
  target_include_directories(${variant} PRIVATE ${PROJECT_SOURCE_DIR}/src
    ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(${variant} PRIVATE -std=gnu17 -D_GNU_SOURCE)
  set_target_properties(${variant} PROPERTIES OUTPUT_NAME ${program}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/variants)
endforeach()

# Runs the real programs on a kernel that refuses system calls.
add_executable(variant_refuse ${CMAKE_CURRENT_LIST_DIR}/refuse.c)
target_link_libraries(variant_refuse PRIVATE berth_flags)
target_compile_options(variant_refuse PRIVATE -std=gnu17 -D_GNU_SOURCE)
set_target_properties(variant_refuse PROPERTIES OUTPUT_NAME refuse
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/variants)

# unit.select puts itself in front of liburing, to be the kernels that this machine does not have.
foreach(function IN ITEMS queue_init_params register_buf_ring register_ring_fd submit
    submit_and_get_events submit_and_wait)
  target_link_options(unit_select PRIVATE -Wl,--wrap=io_uring_${function})
endforeach()
set_tests_properties(unit.select PROPERTIES TIMEOUT 30) # 4 s, of waiting for what does not come

# unit.trial puts itself between the self-test and io.h.
foreach(function IN ITEMS io_reap io_now io_connect io_listen io_shutdown io_stats memory_reserve)
  target_link_options(unit_trial PRIVATE -Wl,--wrap=${function})
endforeach()

# unit.plan counts what is reserved.
target_link_options(unit_plan PRIVATE -Wl,--wrap=memory_reserve -Wl,--wrap=memory_release)

# Fifteen runs of the suite, four at a time.
set_tests_properties(conform.masks_uring PROPERTIES TIMEOUT 120 PROCESSORS 2)

# The laws again, where one in three waits is refused: EBUSY costs a millisecond each time.
foreach(pair IN ITEMS "uring|io_uring_enter=EBUSY/3" "epoll|epoll_wait=EINTR/3")
  string(REGEX MATCH "^[a-z]+" backend ${pair})
  string(REGEX REPLACE "^[a-z]+\\|" "" rules ${pair})
  separate_arguments(rules)
  add_test(NAME conform.laws_${backend}_refused
    COMMAND variant_refuse ${rules} -- $<TARGET_FILE:conform_laws_${backend}>)
  set_tests_properties(conform.laws_${backend}_refused PROPERTIES TIMEOUT 240 LABELS full
    SKIP_RETURN_CODE 77)
endforeach()

# F33 to F35. What is in tests/faults is registered there, and here only what it may take.
set(FAULTS_SECONDS_f33_no_uring 20)     # twenty starts
set(FAULTS_SECONDS_f35_refused_waits 60) # 4,000 refusals that cost a millisecond
if(E2E_NO_PYTEST OR BERTH_SANITIZE)
  return() # whole suites on many kernels: as built for users
endif()

# A sample of tests/e2e on one kernel, and the whole on all of them.
foreach(noun IN ITEMS masks fallback)
  set(command ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/test_${noun}.py ${CMAKE_BINARY_DIR}/bin)
  add_test(NAME variants.${noun} COMMAND ${command})
  set_tests_properties(variants.${noun} PROPERTIES TIMEOUT 240 PROCESSORS 2
    ENVIRONMENT_MODIFICATION "BERTH_FULL=unset:")
  add_test(NAME variants.${noun}_full COMMAND ${command})
  set_tests_properties(variants.${noun}_full PROPERTIES TIMEOUT 3000 RUN_SERIAL ON
    LABELS "full;serial" ENVIRONMENT BERTH_FULL=1)
endforeach()

# F17: the same on the fault-injecting backend around each backend. What is left out, and why, is in
# test_short.py.
foreach(backend IN ITEMS epoll uring)
  set(command ${BERTH_PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/test_short.py ${CMAKE_BINARY_DIR}/bin
    ${backend})
  add_test(NAME variants.short_${backend} COMMAND ${command})
  set_tests_properties(variants.short_${backend} PROPERTIES TIMEOUT 120 PROCESSORS 2
    SKIP_RETURN_CODE 77 ENVIRONMENT_MODIFICATION "BERTH_FULL=unset:")
  add_test(NAME variants.short_full_${backend} COMMAND ${command})
  set_tests_properties(variants.short_full_${backend} PROPERTIES TIMEOUT 3000 RUN_SERIAL ON
    SKIP_RETURN_CODE 77 LABELS "full;serial" ENVIRONMENT BERTH_FULL=1)
endforeach()
