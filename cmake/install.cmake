# What cmake --install puts under the prefix: the library in both forms with its headers, what finds
# it (a CMake package and berth.pc, which both work from wherever the prefix is), the programs, the
# manual pages and the texts that those refer to.
include(CMakePackageConfigHelpers)
set(PACKAGE_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/berth)

install(TARGETS berth_shared berth_static EXPORT berth)
install(DIRECTORY include/berth DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
install(TARGETS berthd berthload)

install(EXPORT berth NAMESPACE berth:: FILE berthTargets.cmake DESTINATION ${PACKAGE_FOLDER})
configure_package_config_file(cmake/berthConfig.cmake.in berthConfig.cmake
  INSTALL_DESTINATION ${PACKAGE_FOLDER} NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# Until 1.0 a minor version may change the interface.
write_basic_package_version_file(berthConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/berthConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/berthConfigVersion.cmake DESTINATION ${PACKAGE_FOLDER})

# The prefix, as seen from berth.pc.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} OR IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
  set(PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH PC_UP /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
  string(REGEX REPLACE "/$" "" PC_UP ${PC_UP})
  set(PC_PREFIX "\${pcfiledir}/${PC_UP}")
endif()
foreach(kind IN ITEMS LIB INCLUDE)
  set(PC_${kind} ${CMAKE_INSTALL_${kind}DIR})
  if(NOT IS_ABSOLUTE ${PC_${kind}})
    set(PC_${kind} "\${prefix}/${PC_${kind}}")
  endif()
endforeach()
configure_file(cmake/berth.pc.in berth.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/berth.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

foreach(section IN ITEMS 1 7 8)
  file(GLOB PAGES CONFIGURE_DEPENDS docs/man/*.${section})
  install(FILES ${PAGES} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(FILES CHANGELOG.md LICENSE docs/PROTOCOL.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES examples/echo.c DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
