# The simulation (./dev sim): one program, whose seeds are the tests.
file(GLOB SWARM_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
add_executable(sim ${SWARM_SOURCES})
target_link_libraries(sim PRIVATE berth)
target_include_directories(sim PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
target_compile_options(sim PRIVATE -std=gnu17 -D_GNU_SOURCE)
