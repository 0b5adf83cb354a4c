# What `cmake --install` puts in place: the program, its man page, and the library as the package
# `strake`: target strake::strake, and strake::mpi (component mpi) for ranks as processes.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/strake)

# The layers that have public headers, and those below them.
add_library(strake_strake INTERFACE)
add_library(strake::strake ALIAS strake_strake)
set_target_properties(strake_strake PROPERTIES EXPORT_NAME strake)
target_link_libraries(strake_strake INTERFACE strake_nn)
install(TARGETS strake_strake strake_nn strake_ops strake_io strake_shard strake_quant strake_comm
                strake_tensor strake_base
  EXPORT strakeTargets)
install(EXPORT strakeTargets NAMESPACE strake:: DESTINATION ${package_dir})

if(STRAKE_MPI)
  set_target_properties(strake_comm_mpi PROPERTIES EXPORT_NAME mpi)
  install(TARGETS strake_comm_mpi EXPORT strakeMpiTargets)
  install(EXPORT strakeMpiTargets NAMESPACE strake:: DESTINATION ${package_dir})
endif()

configure_package_config_file(cmake/strakeConfig.cmake.in strakeConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(strakeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/strakeConfig.cmake ${PROJECT_BINARY_DIR}/strakeConfigVersion.cmake
  DESTINATION ${package_dir})
install(DIRECTORY include/strake DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(STRAKE_APPS)
  install(TARGETS strake_cli)
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

find_program(SCDOC scdoc)
if(SCDOC AND EXISTS ${PROJECT_SOURCE_DIR}/docs/man/strake.1.scd)
  set(man_page ${PROJECT_BINARY_DIR}/strake.1)
  add_custom_command(OUTPUT ${man_page} DEPENDS docs/man/strake.1.scd VERBATIM
    COMMAND sh -c "${SCDOC} <${PROJECT_SOURCE_DIR}/docs/man/strake.1.scd >${man_page}")
  add_custom_target(man_page ALL DEPENDS ${man_page})
  install(FILES ${man_page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
