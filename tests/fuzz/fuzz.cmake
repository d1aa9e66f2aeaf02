# tests/fuzz/fuzz_<noun>.c becomes
#   with BERTH_FUZZ (clang)   bin/fuzz_<noun>, a libFuzzer program, and the test fuzz.<noun>: 2 seconds
#   without                   bin/corpus_<noun>, and the test corpus.<noun>: its corpus, and 20,000
#                             mutations of it that are the same each time
# The corpus of a target is tests/fuzz/corpus/<noun>, and is only read. A new target is a new file and
# a new folder; nothing is listed here but files of the programs that are fuzzed,
# FUZZ_SOURCES_<noun>, and what one target needs: options to compile it with (FUZZ_OPTIONS_<noun>),
# and fewer mutations, where an input is a whole program (FUZZ_RUNS_<noun>).
set(FUZZ_FOLDER ${CMAKE_CURRENT_LIST_DIR})
file(GLOB FUZZ_TARGETS CONFIGURE_DEPENDS ${FUZZ_FOLDER}/fuzz_*.c)
list(FILTER FUZZ_TARGETS EXCLUDE REGEX "/fuzz_main\\.c$")
set(FUZZ_SOURCES_modes ${PROJECT_SOURCE_DIR}/apps/common/entry.c)
set(FUZZ_SOURCES_entry ${PROJECT_SOURCE_DIR}/apps/common/entry.c)
set(FUZZ_SOURCES_answers)
foreach(part IN ITEMS answers console keepsake lines number questions) # of berthload's talk
  list(APPEND FUZZ_SOURCES_answers ${PROJECT_SOURCE_DIR}/apps/berthload/${part}.c)
endforeach()
set(FUZZ_SOURCES_keepsake ${FUZZ_SOURCES_answers})
set(FUZZ_SOURCES_lines ${FUZZ_SOURCES_answers})
set(FUZZ_SOURCES_config ${PROJECT_SOURCE_DIR}/apps/common/entry.c)
foreach(part IN ITEMS config settings settle) # of berthd's settings
  list(APPEND FUZZ_SOURCES_config ${PROJECT_SOURCE_DIR}/apps/berthd/${part}.c)
endforeach()
set(FUZZ_SOURCES_settings ${FUZZ_SOURCES_config})
set(FUZZ_SOURCES_number ${PROJECT_SOURCE_DIR}/apps/berthload/number.c)
set(FUZZ_SOURCES_load_options)
foreach(part IN ITEMS common/crc32c common/entry common/mark berthload/messages berthload/number
    berthload/options berthload/settle) # of berthload's command line
  list(APPEND FUZZ_SOURCES_load_options ${PROJECT_SOURCE_DIR}/apps/${part}.c)
endforeach()
set(FUZZ_SOURCES_command ${PROJECT_SOURCE_DIR}/apps/berthd/command.c)
set(FUZZ_SOURCES_account)
foreach(part IN ITEMS common/crc32c common/ledger common/mark berthload/account berthload/histogram
    berthload/messages berthload/tally berthload/verify)
  list(APPEND FUZZ_SOURCES_account ${PROJECT_SOURCE_DIR}/apps/${part}.c)
endforeach()
set(FUZZ_SOURCES_mark ${PROJECT_SOURCE_DIR}/apps/common/crc32c.c
  ${PROJECT_SOURCE_DIR}/apps/common/mark.c)
set(FUZZ_SOURCES_verify ${FUZZ_SOURCES_account})
set(FUZZ_SOURCES_console ${FUZZ_SOURCES_command} ${PROJECT_SOURCE_DIR}/apps/berthd/console.c
  ${PROJECT_SOURCE_DIR}/apps/common/entry.c)
file(GLOB FUZZ_SOURCES_api CONFIGURE_DEPENDS ${FUZZ_FOLDER}/api/*.c) # the play and its model
set(FUZZ_RUNS_api 1500)
foreach(noun IN ITEMS api frame_custom frame_delimiter frame_fixed frame_length frame_varint)
  set(FUZZ_OPTIONS_${noun} -fno-sanitize-coverage=trace-cmp)
endforeach()
set(FUZZ_SOURCES_script)
foreach(part IN ITEMS framing script stream) # of vex
  list(APPEND FUZZ_SOURCES_script ${PROJECT_SOURCE_DIR}/tests/vex/${part}.c)
endforeach()
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
file(GLOB FUZZ_HELPERS CONFIGURE_DEPENDS ${FUZZ_FOLDER}/help_*.c)

if(BERTH_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "BERTH_FUZZ needs clang: libFuzzer is a part of it")
  endif()
  # The library once more, with the counters that tell libFuzzer where an input has been. The rest of
  # the build does without: only a program that libFuzzer is linked into can have them.
  get_target_property(FUZZED_SOURCES berth_objects SOURCES)
  foreach(source IN LISTS FUZZED_SOURCES)
    get_source_file_property(options ${source} TARGET_DIRECTORY berth_objects COMPILE_OPTIONS)
    if(options)
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}")
    endif()
  endforeach()
  add_library(berth_fuzzed STATIC ${FUZZED_SOURCES})
  # Watching each comparison helps to find the words of a parser. The engine has none, nor have the
  # decoders of frames, which would be half as fast.
  foreach(source IN LISTS FUZZED_SOURCES)
    if(source MATCHES "/src/(buf|core|ds|io)/|/src/wire/(delimiter|encode|frame|refusal).c")
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS
        -fno-sanitize-coverage=trace-cmp)
    endif()
  endforeach()
  target_include_directories(berth_fuzzed PUBLIC ${PROJECT_SOURCE_DIR}/include
    PRIVATE ${PROJECT_SOURCE_DIR}/src)
  get_target_property(FUZZED_LIBRARIES berth_objects LINK_LIBRARIES)
  target_link_libraries(berth_fuzzed PUBLIC ${FUZZED_LIBRARIES})
  target_compile_options(berth_fuzzed PRIVATE -fsanitize=fuzzer-no-link)
endif()

add_custom_target(fuzz_targets)
foreach(source IN LISTS FUZZ_TARGETS)
  get_filename_component(target ${source} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" noun ${target})
  set(corpus ${FUZZ_FOLDER}/corpus/${noun})
  if(BERTH_FUZZ)
    add_executable(${target} ${source} ${FUZZ_SOURCES_${noun}} ${FUZZ_HELPERS})
    target_link_libraries(${target} PRIVATE berth_fuzzed)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer ${FUZZ_OPTIONS_${noun}})
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    # Seeds are only read, where a folder would be written to; and a test does not begin with all
    # that ./dev fuzz has ever found.
    file(GLOB seeds CONFIGURE_DEPENDS ${corpus}/*)
    list(JOIN seeds "," seeds)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/found)
    set(test fuzz.${noun})
    add_test(NAME ${test} COMMAND ${target} -max_total_time=1 -rss_limit_mb=512 -verbosity=0
      -max_len=1024 -artifact_prefix=${CMAKE_BINARY_DIR}/found/${noun}. -seed_inputs=${seeds})
  else()
    set(target corpus_${noun})
    add_executable(${target} ${source} ${FUZZ_SOURCES_${noun}} ${FUZZ_HELPERS}
      ${FUZZ_FOLDER}/fuzz_main.c)
    target_link_libraries(${target} PRIVATE berth)
    set(test corpus.${noun})
    add_test(NAME ${test} COMMAND ${target} ${corpus} 1 ${FUZZ_RUNS_${noun}})
  endif()
  add_dependencies(fuzz_targets ${target})
  target_link_libraries(${target} PRIVATE PkgConfig::INIH)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src
    ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/apps ${PROJECT_SOURCE_DIR}/apps/berthload)
  target_compile_options(${target} PRIVATE -std=gnu17 -D_GNU_SOURCE)
  set_tests_properties(${test} PROPERTIES TIMEOUT ${TEST_SECONDS}
    ENVIRONMENT_MODIFICATION "BERTH_FULL=unset:")
endforeach()

if(NOT BERTH_FUZZ)
  add_test(NAME corpus.api_full COMMAND corpus_api ${FUZZ_FOLDER}/corpus/api 2 100000)
  set_tests_properties(corpus.api_full PROPERTIES TIMEOUT 1800 LABELS full ENVIRONMENT BERTH_FULL=1)
endif()
