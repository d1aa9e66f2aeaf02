# What ./dev msan (clang, BERTH_SANITIZE=memory) leaves out, by name, and why.
#
# MemorySanitizer knows of each byte whether it was ever written, as far as what wrote it was compiled
# with it, or is a call of the C library that it watches. It cannot know of what the kernel writes
# behind its back, nor of what a library does that Debian compiled. A test that reads such bytes would
# be told of errors that are none, so it is disabled, and CTest lists it as such; nothing of the tree
# is marked as known to be good.

# io_uring: the kernel writes completions and received bytes by itself. Tests that run on both
# backends in one program (unit.server and others) are run: the rings lie in mapped memory, which
# counts as written, so that nothing is seen there, and nothing is invented.
set(UNSEEN_TESTS kernel.facts_ring kernel.facts_sockets conform.laws_uring conform.split_uring
  conform.masks_uring)
file(GLOB E2E_NOUNS ${CMAKE_CURRENT_LIST_DIR}/../e2e/test_*.py)
list(TRANSFORM E2E_NOUNS REPLACE ".*/test_(.*)\\.py$" "e2e.\\1.uring")
list(APPEND UNSEEN_TESTS ${E2E_NOUNS})

# inih hands over pointers into a line that it read itself (conftest.py skips what needs --config).
list(APPEND UNSEEN_TESTS load.keepsake corpus.keepsake corpus.config e2e.config
  torture.programs.epoll torture.programs.uring)

# cJSON gets memory that counts as written.
foreach(target IN ITEMS berthload berthload_torture variant_berthload common_entry)
  target_sources(${target} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/cjson.c)
endforeach()

foreach(test IN LISTS UNSEEN_TESTS)
  if(TEST ${test})
    set_tests_properties(${test} PROPERTIES DISABLED ON)
  endif()
endforeach()
