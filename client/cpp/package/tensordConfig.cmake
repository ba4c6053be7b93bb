# The C++ client of tensord, as the target tensord::client.
include(CMakeFindDependencyMacro)
find_dependency(absl)
include("${CMAKE_CURRENT_LIST_DIR}/tensordTargets.cmake")
