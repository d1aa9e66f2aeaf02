# The keepers are tested too: each proves on planted files that it finds what it must find.
foreach(keeper IN ITEMS check_layers check_style)
  add_test(NAME tools.${keeper}
    COMMAND ${BERTH_PYTHON} ${PROJECT_SOURCE_DIR}/tools/${keeper} --self-test)
  set_tests_properties(tools.${keeper} PROPERTIES TIMEOUT ${TEST_SECONDS})
endforeach()
