# Installs the public headers, and those of core that they include, which become part of tensord's own folder: nothing
# that others may have too, as a folder `core`, comes to stand beside them. Takes `source`, the root of the tree, `destination`,
# and `staging`, a folder for what it changes.

set(core_headers
  cast/conversion_report.h
  cast/overflow.h
  dtype.h
  error.h
  mutex.h
  scalar_types.h
  shape.h)
set(public_headers
  array.h
  call_options.h
  client.h
  dtype.h
  eigen.h
  element.h
  error.h
  future.h
  remote_tensor.h
  shape.h
  view.h)

function(install_header from to)
  file(READ "${from}" text)
  string(REPLACE "#include \"core/" "#include \"tensord/core/" text "${text}")
  get_filename_component(folder "${destination}/${to}" DIRECTORY)
  set(staged "${staging}/${to}")
  # Written only when it changed, so that nobody has to compile anew without need.
  file(CONFIGURE OUTPUT "${staged}" CONTENT "${text}" @ONLY)
  file(INSTALL DESTINATION "${folder}" TYPE FILE FILES "${staged}")
endfunction()

foreach(header IN LISTS core_headers)
  install_header("${source}/core/${header}" "core/${header}")
endforeach()
foreach(header IN LISTS public_headers)
  install_header("${source}/client/cpp/include/tensord/${header}" "${header}")
endforeach()
