# The simulation (./dev sim): one program, whose seeds are the tests.
file(GLOB SWARM_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
add_executable(sim ${SWARM_SOURCES})
target_link_libraries(sim PRIVATE berth)
target_include_directories(sim PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
target_compile_options(sim PRIVATE -std=gnu17 -D_GNU_SOURCE)

# Every test plays seeds of its own, the first those that failed once too (tests/sim/seeds.txt).
# With sanitizers there are more of them: that is where they find most.
set(SWARM_PARTS 4)
set(SWARM_SEEDS 40)
math(EXPR SWARM_SECONDS "8 * ${TEST_SECONDS}")
if(BERTH_SANITIZE MATCHES address)
  set(SWARM_SEEDS 500)
endif()
foreach(part RANGE 1 ${SWARM_PARTS})
  math(EXPR first "1 + (${part} - 1) * ${SWARM_SEEDS}")
  set(options --list ${PROJECT_SOURCE_DIR}/tests/sim/seeds.txt)
  if(part GREATER 1) # those with a tight pool are long: the first has them
    set(options --without a-tight-pool)
  endif()
  add_test(NAME swarm.seeds_${part}
    COMMAND sim ${options} --from ${first} --seeds ${SWARM_SEEDS})
  set_tests_properties(swarm.seeds_${part} PROPERTIES TIMEOUT ${SWARM_SECONDS})
endforeach()
add_test(NAME swarm.seeds_full COMMAND sim --from 10001 --seeds 20000 --jobs 2)
set_tests_properties(swarm.seeds_full PROPERTIES TIMEOUT 3600 LABELS full PROCESSORS 2)

# The same seeds are the same runs whatever built them.
add_test(NAME swarm.hash
  COMMAND ${BERTH_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/hashes.py ${PROJECT_SOURCE_DIR}/build)
set_tests_properties(swarm.hash PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS "${LABEL_AGAIN}")

# The simulation with a planted bug each: target canaries (./dev sim --canaries). The mutated file
# stands in front of the library, so that the library's own is not linked.
set(CANARIES ${CMAKE_CURRENT_LIST_DIR}/canaries/canaries.json)
set(MUTATE ${CMAKE_CURRENT_LIST_DIR}/canaries/mutate.py)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CANARIES})
execute_process(COMMAND ${BERTH_PYTHON} ${MUTATE} ${CANARIES} ${PROJECT_SOURCE_DIR} --list
  OUTPUT_VARIABLE CANARY_LIST COMMAND_ERROR_IS_FATAL ANY)
add_custom_target(canaries)
foreach(canary IN LISTS CANARY_LIST)
  string(REGEX REPLACE "=.*" "" name ${canary})
  string(REGEX REPLACE ".*=" "" file ${canary})
  get_filename_component(room ${file} DIRECTORY)
  set(mutated ${CMAKE_CURRENT_BINARY_DIR}/canaries/${name}.c)
  add_custom_command(OUTPUT ${mutated}
    COMMAND ${BERTH_PYTHON} ${MUTATE} ${CANARIES} ${PROJECT_SOURCE_DIR} ${name} ${mutated}
    DEPENDS ${CANARIES} ${MUTATE} ${PROJECT_SOURCE_DIR}/${file} VERBATIM)
  add_executable(sim_canary_${name} EXCLUDE_FROM_ALL ${SWARM_SOURCES} ${mutated})
  target_link_libraries(sim_canary_${name} PRIVATE berth)
  target_include_directories(sim_canary_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src
    ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(sim_canary_${name} PRIVATE -std=gnu17 -D_GNU_SOURCE)
  add_dependencies(canaries sim_canary_${name})
endforeach()

# A canary whose text has been changed cannot sing: said at once, not when they are all built.
add_test(NAME swarm.canaries_stand COMMAND ${BERTH_PYTHON} ${MUTATE} ${CANARIES}
  ${PROJECT_SOURCE_DIR} --check)
set_tests_properties(swarm.canaries_stand PROPERTIES TIMEOUT ${TEST_SECONDS}
  LABELS "${LABEL_AGAIN}")

add_test(NAME swarm.canaries COMMAND ${BERTH_PYTHON} ${PROJECT_SOURCE_DIR}/tools/canaries
  ${CMAKE_BINARY_DIR})
set_tests_properties(swarm.canaries PROPERTIES TIMEOUT 3600 LABELS full)
