# bin/variants/berthd and bin/variants/berthload: the real programs, linked from the same objects, but
# for functions that the files of this folder stand in front of, by --wrap of the linker. So what a
# kernel lacks, or does wrong, can be had from outside, and the library has no switch for tests.
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
file(GLOB VARIANT_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
foreach(program IN ITEMS berthd berthload)
  set(variant variant_${program})
  get_target_property(libraries ${program} LINK_LIBRARIES)
  add_executable(${variant} $<TARGET_OBJECTS:${program}> ${VARIANT_SOURCES})
  target_link_libraries(${variant} PRIVATE ${libraries})
  target_link_options(${variant} PRIVATE -Wl,--wrap=io_select)
  target_include_directories(${variant} PRIVATE ${PROJECT_SOURCE_DIR}/src
    ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(${variant} PRIVATE -std=gnu17 -D_GNU_SOURCE)
  set_target_properties(${variant} PROPERTIES OUTPUT_NAME ${program}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/variants)
endforeach()

# unit.select puts itself in front of liburing, to be the kernels that this machine does not have.
foreach(function IN ITEMS queue_init_params register_buf_ring register_ring_fd submit
    submit_and_get_events submit_and_wait submit_and_wait_timeout)
  target_link_options(unit_select PRIVATE -Wl,--wrap=io_uring_${function})
endforeach()
set_tests_properties(unit.select PROPERTIES TIMEOUT 30) # 4 s, of waiting for what does not come

# Fifteen runs of the suite, four at a time.
set_tests_properties(conform.masks_uring PROPERTIES TIMEOUT 60 PROCESSORS 2)
