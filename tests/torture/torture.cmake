# Allocation torture: tests/torture/test_<noun>.c becomes the tests torture.<noun>.<backend>, with
# every k-th allocation failed, and under the label full torture.<noun>_full.<backend>, with all of
# them. The linker leads what the library asks for through help_allocations.c.
set(TORTURE_FOLDER ${CMAKE_CURRENT_LIST_DIR})
set(TORTURE_WRAPPED malloc calloc aligned_alloc posix_memalign strdup strndup realloc free
  mmap munmap pthread_create pthread_join socket accept4 eventfd timerfd_create epoll_create1 epoll_ctl
  close open
  io_uring_queue_init_params io_uring_queue_exit io_uring_register_buf_ring
  io_uring_register_ring_fd io_uring_submit io_uring_submit_and_get_events io_uring_submit_and_wait
  pool_take pool_can nodes_take nodes_can)
list(TRANSFORM TORTURE_WRAPPED PREPEND -Wl,--wrap=)

# The simulated world asks for its own memory, and never fails: the library's is what is tortured.
# Its objects here come before the library's, which then are not taken from the archive.
file(GLOB TORTURE_WORLD CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/io/sim*.c)
add_library(torture_world OBJECT ${TORTURE_WORLD})
target_include_directories(torture_world PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(torture_world PRIVATE berth)
target_compile_options(torture_world PRIVATE -std=gnu17 -D_GNU_SOURCE
  -include ${TORTURE_FOLDER}/help_world.h)

file(GLOB TORTURE_HELPERS CONFIGURE_DEPENDS ${TORTURE_FOLDER}/help_*.c)
add_library(torture_helpers OBJECT ${TORTURE_HELPERS})
target_include_directories(torture_helpers PUBLIC ${PROJECT_SOURCE_DIR}/src
  ${PROJECT_SOURCE_DIR}/tests)
target_link_libraries(torture_helpers PUBLIC berth)
target_compile_options(torture_helpers PUBLIC -std=gnu17 -D_GNU_SOURCE)

file(GLOB TORTURE_TESTS CONFIGURE_DEPENDS ${TORTURE_FOLDER}/test_*.c)
foreach(source IN LISTS TORTURE_TESTS)
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "test_" "" noun ${name})
  add_executable(torture_${noun} ${source} $<TARGET_OBJECTS:torture_helpers>
    $<TARGET_OBJECTS:torture_world>)
  target_link_libraries(torture_${noun} PRIVATE torture_helpers)
  target_link_options(torture_${noun} PRIVATE ${TORTURE_WRAPPED})
  # Which allocations a sample meets follows from how many there are: a change elsewhere would take
  # a branch from ./dev coverage. So there all of a server's life are failed.
  set(labels full)
  if(BERTH_COVERAGE AND noun STREQUAL "life")
    set(labels)
  endif()
  foreach(backend IN ITEMS sim epoll uring)
    add_test(NAME torture.${noun}.${backend} COMMAND torture_${noun} ${backend})
    set_tests_properties(torture.${noun}.${backend} PROPERTIES TIMEOUT ${TEST_SECONDS}
      SKIP_RETURN_CODE 77 ENVIRONMENT_MODIFICATION "BERTH_FULL=unset:")
    add_test(NAME torture.${noun}_full.${backend} COMMAND torture_${noun} ${backend})
    set_tests_properties(torture.${noun}_full.${backend} PROPERTIES TIMEOUT 1200
      LABELS "${labels}" SKIP_RETURN_CODE 77 ENVIRONMENT BERTH_FULL=1)
  endforeach()
endforeach()

# The programs themselves, with their allocations failed from outside (program_failing.c).
if(TARGET berthd AND TARGET berthload)
  set(PROGRAM_WRAPPED mmap pthread_create socket eventfd timerfd_create epoll_create1
    signalfd fopen open)
  if(BERTH_SANITIZE)
    list(APPEND PROGRAM_WRAPPED malloc calloc realloc aligned_alloc)
  endif()
  list(TRANSFORM PROGRAM_WRAPPED PREPEND -Wl,--wrap=)
  foreach(program IN ITEMS berthd berthload)
    get_target_property(sources ${program} SOURCES)
    get_target_property(folder ${program} SOURCE_DIR)
    get_target_property(libraries ${program} LINK_LIBRARIES)
    get_target_property(definitions ${program} COMPILE_DEFINITIONS)
    list(TRANSFORM sources PREPEND ${folder}/ REGEX "^[^/]") # those that are not absolute
    add_executable(${program}_torture ${sources} ${TORTURE_FOLDER}/program_failing.c)
    target_link_libraries(${program}_torture PRIVATE ${libraries})
    if(definitions)
      target_compile_definitions(${program}_torture PRIVATE ${definitions})
    endif()
    if(BERTH_SANITIZE)
      target_compile_definitions(${program}_torture PRIVATE BERTH_TORTURE_WRAPS)
    endif()
    set_source_files_properties(${TORTURE_FOLDER}/program_failing.c PROPERTIES COMPILE_OPTIONS
      "-std=gnu17;-D_GNU_SOURCE")
    target_link_options(${program}_torture PRIVATE ${PROGRAM_WRAPPED})
  endforeach()
endif()

# tests/torture/programs.py runs them, some sixty times in two seconds; on a machine that has other
# work a process takes its time to begin.
if(TARGET berthd_torture)
  math(EXPR PROGRAMS_SECONDS "${TEST_SECONDS} * 4")
  foreach(backend IN ITEMS epoll uring)
    set(command ${BERTH_PYTHON} ${TORTURE_FOLDER}/programs.py ${CMAKE_BINARY_DIR}/bin ${backend})
    add_test(NAME torture.programs.${backend} COMMAND ${command})
    set_tests_properties(torture.programs.${backend} PROPERTIES TIMEOUT ${PROGRAMS_SECONDS}
      SKIP_RETURN_CODE 77 ENVIRONMENT "BERTH_SANITIZE=${BERTH_SANITIZE}"
      ENVIRONMENT_MODIFICATION "BERTH_FULL=unset:")
    add_test(NAME torture.programs_full.${backend} COMMAND ${command})
    set_tests_properties(torture.programs_full.${backend} PROPERTIES TIMEOUT 1200 LABELS full
      SKIP_RETURN_CODE 77 ENVIRONMENT BERTH_FULL=1)
  endforeach()
endif()
